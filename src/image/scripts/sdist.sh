# A repository of one commit, which is the same wherever it is made.
python=$environment/bin/python
[ -x "$python" ] || python=python3
"$python" -c "$program" "$requirement" /testbed
cd /testbed
# Modes as git knows them: the archive's own depend on who made it.
find . -type d -exec chmod 755 {} +
find . -type f -perm -100 -exec chmod 755 {} +
find . -type f ! -perm -100 -exec chmod 644 {} +
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=evalrun GIT_AUTHOR_EMAIL=evalrun@localhost
export GIT_COMMITTER_NAME=evalrun GIT_COMMITTER_EMAIL=evalrun@localhost
export GIT_AUTHOR_DATE='946684800 +0000' GIT_COMMITTER_DATE='946684800 +0000'
rm -rf .git
git -c init.defaultBranch=main init -q --template=
git config gc.auto 0
git config core.checkstat minimal
git config core.trustctime false
git add --all --force
git commit -q --no-verify -m 'Initial commit'
rm -rf .git/logs
git log --oneline
