# A sandbox has one user id at the least and no `_apt` to change to.
export DEBIAN_FRONTEND=noninteractive
if ! command -v apt-get >/dev/null; then
    echo "this root has no apt-get; it must bring these packages itself: ${packages[*]}" >&2
    exit 1
fi
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
        missing+=("$package")
done
# The downloaded packages are shared with other builds, of which apt lets one in at a time.
one_by_one() {
    if command -v flock >/dev/null; then flock /var/cache/apt/archives "$@"; else "$@"; fi
}
if [ ${#missing[@]} -gt 0 ]; then
    set -x
    apt-get -o APT::Sandbox::User=root update
    one_by_one apt-get -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
        "${missing[@]}"
    rm -rf /var/lib/apt/lists/*
fi
