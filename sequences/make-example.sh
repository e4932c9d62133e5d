#!/bin/sh
# Cuts the example runs of this folder out of the file that Debian's package vsearch-examples installs.
# Usage: sequences/make-example.sh [FOLDER], this folder unless told. Needs gzip, awk and sha256sum; gzip 1.12 gives
# the very bytes that are here, and the script says so when another gzip gave others for the same sequences.
set -eu

source=${SOURCE:-/usr/share/doc/vsearch-examples/BioMarKs50k.fsa.gz}
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}

echo "f1add8906f923eee5331ca545c61f28ac1bdc8f79226832676dc4266601f064b  $source" | sha256sum --check --quiet

# The sequences stand by falling abundance, one line each. cut_run NAME FIRST LAST, records counted from 1.
cut_run() {
  mkdir -p "$out/$(dirname "$1")"
  gzip -dc "$source" |
    awk -v first="$2" -v last="$3" '/^>/ { record++ } record >= first && record <= last' |
    gzip -n -9 > "$out/$1.fasta.gz"
}

cut_run BioMarKs_abundant/part-1     1  1750
cut_run BioMarKs_abundant/part-2  1751  3500
cut_run BioMarKs_middle/part-1   10501 12250
cut_run BioMarKs_middle/part-2   18001 19750
cut_run BioMarKs_rare/part-1     40251 42000
cut_run BioMarKs_rare/part-2     48001 49750

cd "$out"
gzip -dc BioMarKs_*/part-*.fasta.gz | sha256sum | grep -q '^06c83e927df70fcf0cf377710ec7621e9a7a02c0f562e8b78702c597446a6ab3 ' || {
  echo "$0: the sequences are not those of the example" >&2
  exit 1
}
sha256sum --check --quiet "$here/SHA256SUMS" || echo "$0: same sequences, packed by another gzip" >&2
