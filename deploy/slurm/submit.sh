#!/usr/bin/env bash
# Submits the shards of an extraction that are not finished, and a job that combines all of them afterwards:
#
#   ./submit.sh DATA OUT SHARDS AT_ONCE [OPTION OF deeptell extract]...
#   ./submit.sh /data/videos /scratch/crops 1000 64 --store tar
#
# Run it again, with the same arguments, after shards have failed. SBATCH_* variables set options of all jobs, such as
# SBATCH_ACCOUNT; DEEPTELL is the program, if it is not on the PATH of every node.
set -eu
refuse() {
    echo "$*" >&2
    exit 2
}
if [ $# -lt 4 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
for argument in "$@"; do
    [ "$argument" != -- ] || refuse "leave out --: DATA, OUT, SHARDS and AT_ONCE come first, and then options"
done
data=$1 out=$2 shards=$3 at_once=$4
shift 4
case $data in
    '' | -*) refuse "DATA must be a folder or a manifest, and comes before all options: '$data'" ;;
esac
case $out in
    '' | -*) refuse "OUT must be a folder, and comes before all options: '$out'" ;;
esac
for number in "$shards" "$at_once"; do
    case $number in
        '' | 0* | *[!0-9]*) refuse "SHARDS and AT_ONCE must be numbers from 1: '$number'" ;;
    esac
done
[ -e "$data" ] || refuse "there is no data set $data"
[ ! -e "$out" ] || [ -d "$out" ] || refuse "OUT must be a folder, and $out is a file"
here=$(cd "$(dirname "$0")" && pwd)
program=${DEEPTELL:-deeptell}
command -v "$program" >/dev/null || refuse "no program $program: install it on every node, or set DEEPTELL to its path"
# By this name, jobs that write there are found again.
mkdir -p "$out" || refuse "cannot make the folder $out"
name=deeptell-$(cd "$out" && pwd -P | cksum | cut -d ' ' -f 1)
jobs=$(squeue --noheader --format=%F --name="$name") ||
    refuse "squeue failed, so whether jobs for $out are in the queue is not known: nothing is submitted"
if [ -n "$jobs" ]; then
    jobs=$(printf '%s\n' "$jobs" | sort -u | tr '\n' ' ')
    refuse "jobs for $out are in the queue: ${jobs% }. Wait until they end, or cancel them: scancel --name=$name"
fi

# The first time there are no shards, and all are to be done.
array="0-$((shards - 1))"
begun=
for settings in "$out/extract.toml" "$out"/*/extract.toml; do
    [ ! -e "$settings" ] || begun=yes
done
if [ -n "$begun" ]; then
    # Exit code 1 says that something is missing.
    status=$("$program" --quiet status "$out" --data "$data" --json) || [ $? -eq 1 ] || exit 2
    known=$(printf '%s' "$status" | sed -n 's/^  "count": \([0-9a-z]*\),\{0,1\}$/\1/p')
    [ "$known" != null ] || refuse "$out holds an extraction that is not divided into shards: choose another folder"
    [ "$known" = "$shards" ] || refuse "$out has $known shards: pass $known in place of $shards, or another folder"
    if printf '%s' "$status" | grep -q '"state": "running"'; then
        refuse "shards are running in $out, and not as jobs of this script: wait until they end (deeptell status)"
    fi
    array=$(printf '%s' "$status" | sed -n 's/^ *"resubmit": "\([0-9,-]*\)",\{0,1\}$/\1/p')
fi
after=()
if [ -n "$array" ]; then
    job=$(sbatch --parsable --job-name="$name" --array="$array%$at_once" "$here/extract.sbatch" "$data" "$out" "$shards" "$@")
    echo "shards $array: job $job"
    after=(--dependency="afterok:${job%%;*}" --kill-on-invalid-dep=yes)
fi
# Old versions of bash take an empty list for an unset variable.
job=$(sbatch --parsable ${after[@]+"${after[@]}"} --job-name="$name" "$here/merge.sbatch" "$data" "$out")
echo "merge: job $job, writes $out/manifest.jsonl"
