#!/bin/sh
# Runs the cases of the files given: each line is `name|expected|command`. Prints `PASSED name` or
# `FAILED name` for each.
PATH="$PWD/bin:$PATH"
status=0
for file in "$@"; do
  while IFS='|' read -r name expected command; do
    if [ "$(eval "$command" </dev/null)" = "$expected" ]; then
      echo "PASSED $name"
    else
      echo "FAILED $name"
      status=1
    fi
  done <"$file"
done
exit $status
