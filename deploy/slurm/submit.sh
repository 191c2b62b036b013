#!/usr/bin/env bash
# Submits the shards of an extraction that are not finished, and a job that combines all of them afterwards:
#
#   ./submit.sh DATA OUT SHARDS AT_ONCE [OPTION OF deeptell extract]...
#   ./submit.sh /data/videos /scratch/crops 1000 64 --store tar
#
# Run it again, with the same arguments, after shards have failed. SBATCH_* variables set options of all jobs, such as
# SBATCH_ACCOUNT; DEEPTELL is the program, if it is not on the PATH.
set -eu
if [ $# -lt 4 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
data=$1 out=$2 shards=$3 at_once=$4
shift 4
for number in "$shards" "$at_once"; do
    case $number in
        '' | 0* | *[!0-9]*) echo "SHARDS and AT_ONCE must be numbers from 1: $number" >&2; exit 2 ;;
    esac
done
if [ ! -e "$data" ]; then
    echo "there is no data set $data" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
program=${DEEPTELL:-deeptell}
# By this name, jobs that write there are found again.
mkdir -p "$out"
name=deeptell-$(cd "$out" && pwd -P | cksum | cut -d ' ' -f 1)
jobs=$(squeue --noheader --format=%F --name="$name" | sort -u | tr '\n' ' ')
if [ -n "$jobs" ]; then
    echo "jobs for $out are in the queue: ${jobs% }. Wait until they end, or cancel them: scancel --name=$name" >&2
    exit 2
fi

# The first time there is no folder, and all shards are to be done.
array="0-$((shards - 1))"
if [ -n "$(ls -A "$out")" ]; then
    # Exit code 1 says that something is missing.
    status=$("$program" --quiet status "$out" --data "$data" --json) || [ $? -eq 1 ]
    known=$(printf '%s' "$status" | sed -n 's/^  "count": \([0-9]*\),\{0,1\}$/\1/p')
    if [ -n "$known" ] && [ "$known" != "$shards" ]; then
        echo "$out has $known shards: pass $known in place of $shards, or another folder" >&2
        exit 2
    fi
    if printf '%s' "$status" | grep -q '"state": "running"'; then
        echo "shards are running in $out, and not as jobs of this script: wait until they end (deeptell status)" >&2
        exit 2
    fi
    array=$(printf '%s' "$status" | sed -n 's/^ *"resubmit": "\([0-9,-]*\)",\{0,1\}$/\1/p')
fi
after=()
if [ -n "$array" ]; then
    job=$(sbatch --parsable --job-name="$name" --array="$array%$at_once" "$here/extract.sbatch" "$data" "$out" "$shards" "$@")
    echo "shards $array: job $job"
    after=(--dependency="afterok:${job%%;*}" --kill-on-invalid-dep=yes)
fi
merge=$(printf '%q ' "$program" merge "$out" --data "$data")
# Old versions of bash take an empty list for an unset variable.
job=$(sbatch --parsable ${after[@]+"${after[@]}"} --job-name="$name" --mem=4G --output=deeptell-merge-%j.log --wrap "$merge")
echo "merge: job $job, writes $out/manifest.jsonl"
