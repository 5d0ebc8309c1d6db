# Sourced by evaluation scripts: defines `conda`, and activates the environment named, if any.
. /opt/miniconda3/etc/profile.d/conda.sh
if [ -n "${1:-}" ] && [ -d "/opt/miniconda3/envs/$1" ]; then
    conda activate "$1"
else
    conda activate
fi
