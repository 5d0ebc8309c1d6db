# What the install changed in tracked files is committed on top of the base commit, dated like it, so
# that the clean-up between two ways to apply a patch cannot undo it. What it made beside them is
# ignored, for the same reason.
cd /testbed
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory
export GIT_CONFIG_VALUE_0=/testbed
git add -u
if ! git diff --cached --quiet; then
    GIT_AUTHOR_NAME=evalrun GIT_AUTHOR_EMAIL=evalrun@localhost
    GIT_COMMITTER_NAME=evalrun GIT_COMMITTER_EMAIL=evalrun@localhost
    GIT_AUTHOR_DATE=$(git log -1 --format=%cI)
    GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
    export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
    export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
    git diff --cached --stat
    git commit -q --no-verify -m "Environment set-up"
    rm -rf .git/logs
fi
mkdir -p .git/info
git ls-files --others --exclude-standard --directory --no-empty-directory -z |
    while IFS= read -r -d '' path; do
        case "$path" in *$'\n'*) continue ;; esac
        printf '/%s\n' "$(printf '%s' "$path" | sed -e 's/[][\\*?]/\\&/g' -e 's/ $/\\ /')"
    done >>.git/info/exclude
git status --short
# git gives a pack the present time when it meets in it what it was about to write. The same files are
# in other images too, and are stored once if their times are equal. The index has its own times.
find .git -type f ! -name index -exec touch -d @946684800 {} +
