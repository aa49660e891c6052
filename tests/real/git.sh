# A repository with a few commits, packed, checked, cloned and changed. Times and names are fixed, so the commits
# have the same names everywhere.
set -e
export HOME=/root GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_AUTHOR_DATE='1600000000 +0000'
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_COMMITTER_DATE='1600000000 +0000'
cd "${1:-/root}"
git init -q -b main repository
cd repository
for i in 1 2 3 4 5; do
    seq $i 3000 >numbers
    seq 200 | sed "s/\$/ of $i/" >"file$i"
    git add .
    git commit -q -m "commit $i"
done
git rev-parse HEAD
git gc -q
git fsck --full --no-progress 2>/dev/null
git count-objects -v | grep -E '^(count|in-pack|garbage):'
git clone -q . ../copy
cd ../copy
git checkout -q -b other HEAD~2
seq 50 >numbers
git commit -q -a -m other
git rev-parse HEAD
git diff --stat main other | tail -n 1
git log --oneline --all | wc -l
