# Defines `conda` as far as evaluation scripts use it. There is no conda here: the environments are
# virtual environments of Python. Safe under `set -e`, `set -u` and `set -x`.

conda() {
    case "${1:-}" in
        activate)
            _evalrun_conda_leave
            case "${2:-base}" in
                base) ;;
                */*) _evalrun_conda_enter "$2" ;;
                *) _evalrun_conda_enter "/opt/miniconda3/envs/$2" ;;
            esac
            ;;
        deactivate) _evalrun_conda_leave ;;
        run)
            shift
            (
                _evalrun_name=base
                while [ $# -gt 0 ]; do
                    case "$1" in
                        -n | --name | -p | --prefix) _evalrun_name="${2:-base}"; shift 2 || shift ;;
                        --no-capture-output | --live-stream | -v) shift ;;
                        *) break ;;
                    esac
                done
                conda activate "$_evalrun_name" && "$@"
            )
            ;;
        list) python -m pip list ;;
        info | env | config | init | clean)
            if [ "${1:-}" = env ] && [ "${2:-}" != list ]; then
                _evalrun_conda_refuse "$@"
                return
            fi
            if [ "${1:-}" = info ] || [ "${1:-}" = env ]; then
                echo "# conda environments:"
                echo "base  /opt/miniconda3"
                for _evalrun_dir in /opt/miniconda3/envs/*/; do
                    echo "$(basename "$_evalrun_dir")  ${_evalrun_dir%/}"
                done
                unset _evalrun_dir
            fi
            ;;
        -V | --version) echo "conda 0 (stand-in by evalrun)" ;;
        shell.* | '') ;;
        *) _evalrun_conda_refuse "$@" ;;
    esac
}

_evalrun_conda_refuse() {
    echo "conda $*: not possible here, the environments of this image are made by pip" >&2
    return 1
}

_evalrun_conda_enter() {
    if [ ! -x "$1/bin/python" ]; then
        echo "EnvironmentNameNotFound: there is no environment at $1" >&2
        return 1
    fi
    PATH="$1/bin:$PATH"
    CONDA_PREFIX="$1"
    CONDA_DEFAULT_ENV="${1##*/}"
    CONDA_SHLVL=1
    export PATH CONDA_PREFIX CONDA_DEFAULT_ENV CONDA_SHLVL
    hash -r 2>/dev/null || true
}

_evalrun_conda_leave() {
    if [ -n "${CONDA_PREFIX:-}" ]; then
        case "$PATH" in
            "$CONDA_PREFIX/bin:"*) PATH="${PATH#"$CONDA_PREFIX/bin:"}" ;;
        esac
    fi
    unset CONDA_PREFIX CONDA_DEFAULT_ENV
    CONDA_SHLVL=0
    export PATH CONDA_SHLVL
    hash -r 2>/dev/null || true
}
