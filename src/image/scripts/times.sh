# Equal files of different images are stored once, but only if their times are equal too. So all
# that this layer has made gets one time, as the files of the commit have it already.
places=()
for place in /opt/miniconda3 /opt/wheels /opt/python /opt/evalrun /testbed; do
    if [ -d "$place" ]; then places+=("$place"); fi
done
booted=$(sed -n 's/^btime //p' /proc/stat)
read -r -a fields <<<"$(sed 's/.*) //' /proc/1/stat)"
began=$((booted + fields[19] / 100 - 2))
if [ -n "$environment" ] && "$environment/bin/python" -c '' 2>/dev/null; then
    "$environment/bin/python" -I -B -c "$program" "$began" "${places[@]}"
else
    find "${places[@]}" -xdev -name .git -prune -o ! -type d -newerct "@$began" \
        -exec touch -h -d @946684800 {} + || true
fi
