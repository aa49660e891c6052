# Threads, mappings of memory and of files, and processes that are forked.
import hashlib
import mmap
import multiprocessing
import os
import tempfile
import threading

PAGE = mmap.PAGESIZE


def square(number):
    return number * number


def fill(memory, page):
    for at in range(PAGE):
        memory[page * PAGE + at] = page


def digest(results, number):
    results[number] = hashlib.sha256(bytes([number]) * 300_000).hexdigest()[:8]


def at_once(work, arguments):
    threads = [threading.Thread(target=work, args=words) for words in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    shared = mmap.mmap(-1, 16 * PAGE)
    at_once(fill, [(shared, page) for page in range(1, 9)])
    print("filled:", [set(shared[page * PAGE:(page + 1) * PAGE]) == {page} for page in range(9)])

    results = {}
    at_once(digest, [(results, number) for number in range(4)])
    print("digests:", *(results[number] for number in range(4)))

    private = mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    private[0] = 1
    child = os.fork()
    if child == 0:
        private[0] = 2
        shared[0] = 3
        os._exit(private[0])
    print("child:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), private[0], shared[0])

    with tempfile.TemporaryFile() as file:
        file.truncate(3 * PAGE)
        with mmap.mmap(file.fileno(), 3 * PAGE) as mapping:
            mapping[2 * PAGE:2 * PAGE + 6] = b"mapped"
            mapping.flush()
            file.seek(2 * PAGE)
            print("read:", file.read(6))
            os.pwrite(file.fileno(), b"written", PAGE)
            print("mapped:", mapping[PAGE:PAGE + 7])
            mapping.resize(64 * PAGE)
            print("grown:", os.fstat(file.fileno()).st_size // PAGE, mapping.find(b"mapped") // PAGE)

    fork = multiprocessing.get_context("fork")
    with fork.Pool(3) as pool:
        print("pool:", sum(pool.map(square, range(1000), chunksize=10)))
    ballast = [bytes([number % 256]) * 1000 for number in range(20_000)]
    pipe, other = fork.Pipe()
    process = fork.Process(target=lambda: other.send(sum(map(sum, ballast))))
    process.start()
    print("sum:", pipe.recv())
    process.join()
    print("exit code:", process.exitcode)


if __name__ == "__main__":
    main()
