# The tests' own script will install the project again in a sandbox without a network. Here the same
# is tried, pip being told to look nowhere but into the wheelhouse, until nothing is missed.
cd /testbed
source /opt/miniconda3/bin/activate
conda activate testbed
output=$(mktemp)
for line in "${lines[@]}"; do
    for ((round = 0; round < 25; round++)); do
        echo "+ without an index: $line"
        if (
            export PIP_CONFIG_FILE="$environment/pip.conf"
            eval "$line"
        ) >"$output" 2>&1; then
            tail -n 3 "$output"
            continue 2
        fi
        missed=$(sed -nE 's/.*No matching distribution found for ([^;]*[^; ]).*/\1/p' "$output" |
            sed -E 's/ \(from .*\)$//' | sort -u)
        [ -n "$missed" ] || break
        while IFS= read -r requirement; do
            echo "+ into the wheelhouse: $requirement"
            python -m pip wheel -q --wheel-dir "$wheelhouse" "$requirement" || break 2
        done <<<"$missed"
    done
    # The project is installed: tests can run. The script's own reinstall will fail in this way.
    cat "$output"
    echo "warning: without an index this does not work: $line"
done
rm -f "$output"
