# Chooses a Python (the root's own, the suite's, one by uv) and makes the environment with it.
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

fits() {
    local version name
    version=$(version_of "$1") || return 1
    [ ${#wanted[@]} -gt 0 ] || return 0
    for name in "${wanted[@]}"; do
        [ "$version" = "$name" ] && return 0
    done
    return 1
}

own_python() {
    local name
    for name in "${wanted[@]/#/python}" python3; do
        name=$(command -v "$name") || continue
        if fits "$name"; then
            python=$name
            return 0
        fi
    done
    return 1
}

# The downloaded packages are shared with other builds, of which apt lets one in at a time.
one_by_one() {
    if command -v flock >/dev/null; then flock /var/cache/apt/archives "$@"; else "$@"; fi
}

suite_python() {
    local name found=
    [ "$suite" = 1 ] && command -v apt-get >/dev/null || return 1
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o APT::Sandbox::User=root update || return 1
    for name in "${wanted[@]}"; do
        if one_by_one apt-get -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 install -y \
            --no-install-recommends "python$name" "python$name-dev" "python$name-venv"; then
            found=1
            break
        fi
    done
    rm -rf /var/lib/apt/lists/*
    [ -n "$found" ] && own_python
}

uv_python() {
    local name uv tools=/opt/evalrun/uv
    uv=$(command -v uv || true)
    if [ -z "$uv" ] && [ -x /run/evalrun/uv ]; then
        uv=/run/evalrun/uv
    fi
    if [ -z "$uv" ] && command -v python3 >/dev/null; then
        rm -rf "$tools"
        python3 -m venv "$tools" && "$tools/bin/python" -m pip install -q uv && uv=$tools/bin/uv
    fi
    if [ -z "$uv" ]; then
        echo "uv is not there and could not be installed" >&2
        return 1
    fi
    export UV_PYTHON_INSTALL_DIR=/opt/python UV_PYTHON_INSTALL_BIN=0 UV_NO_CONFIG=1
    export UV_CACHE_DIR=/tmp/uv-cache
    for name in "${wanted[@]}"; do
        "$uv" python install --no-progress "$name" || continue
        for python in "$UV_PYTHON_INSTALL_DIR/cpython-$name".*/bin/python"$name"; do
            fits "$python" && break 2
        done
        python=
    done
    rm -rf "$tools" "$UV_CACHE_DIR"
    [ -n "$python" ]
}

python=
if ! own_python; then
    echo "the root's own python3 is $(version_of python3 || echo missing); wanted: ${wanted[*]}"
    suite_python || uv_python || {
        echo "no Python fits: wanted ${wanted[*]:-any}; the root's own is $(version_of python3 || echo missing)," \
            "its package manager has none of them, and uv could not install one (see above)." \
            "Choose another base or python_alternatives in the recipe, or set" \
            "UV_PYTHON_INSTALL_MIRROR to a mirror that can be reached." >&2
        exit 1
    }
fi
echo "python: $python ($(version_of "$python"))"

mkdir -p "$(dirname "$environment")"
if ! "$python" -m venv "$environment"; then
    # Debian keeps `ensurepip` in a package of its own.
    rm -rf "$environment"
    "$python" -m venv --without-pip "$environment"
    "$environment/bin/python" -c "$bootstrap"
fi
# The tools of a new conda environment of that time. Later pips build every project with a setup.py
# in isolation, with the newest setuptools, which old projects do not survive.
"$environment/bin/python" -m pip install --upgrade 'pip<25.1' 'setuptools<75.9' 'wheel<0.46'
