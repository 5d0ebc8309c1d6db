missing=()
for tool in "${tools[@]}"; do
    command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "the recipe needs these programs, which this machine does not have (in /usr or /bin): ${missing[*]}" >&2
    exit 1
fi
