# What the recipe names, so that a build of the project needs no index. Each by itself: entries may
# contradict one another, being for different commits.
mkdir -p "$wheelhouse"
for wheel in "${wheels[@]}"; do
    echo "+ into the wheelhouse: $wheel"
    "$environment/bin/python" -m pip wheel -q --wheel-dir "$wheelhouse" "$wheel"
done
ls "$wheelhouse"
