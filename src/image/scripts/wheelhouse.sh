# What the recipe names, so that a build of the project needs no index.
pip=("$environment/bin/python" -m pip)
mkdir -p "$wheelhouse"
set -x
if ! "${pip[@]}" wheel -q --wheel-dir "$wheelhouse" "${wheels[@]}"; then
    # Together they contradict each other: two versions of one package may be wanted on purpose.
    for wheel in "${wheels[@]}"; do
        "${pip[@]}" wheel -q --wheel-dir "$wheelhouse" "$wheel"
    done
else
    # The first install, which has an index, shall build with the same pins.
    printf '%s\n' "${wheels[@]}" | grep -E '^[A-Za-z0-9._-]+==' >"$wheelhouse/constraints.txt" ||
        rm -f "$wheelhouse/constraints.txt"
fi
