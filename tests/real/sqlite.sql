-- A database of 100 MB, larger than the guest's memory, that is read through a mapping and written with
-- write(2); the pages that sqlite3 keeps itself are more than there is memory for, too.
PRAGMA mmap_size = 268435456;
PRAGMA cache_size = -98304;
CREATE TABLE letters (id INTEGER PRIMARY KEY, kind INTEGER, body TEXT);
INSERT INTO letters
  SELECT value, value % 1000, printf('%.*c', 1000, char(97 + value % 26))
  FROM generate_series(1, 100000);
CREATE INDEX by_kind ON letters (kind);
SELECT count(*), sum(length(body)), count(DISTINCT body) FROM letters;
UPDATE letters SET body = upper(body) WHERE kind < 100;
DELETE FROM letters WHERE kind >= 900;
SELECT count(*), sum(length(body)), count(DISTINCT body) FROM letters;
SELECT count(*) FROM letters WHERE body < 'a';
SELECT count(*) FROM letters WHERE body <> printf('%.*c', 1000, char(97 - (kind < 100) * 32 + id % 26));
SELECT page_count * page_size > 100000000 FROM pragma_page_count, pragma_page_size;
PRAGMA integrity_check;
