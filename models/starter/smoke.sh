#!/usr/bin/env bash
# The whole recipe at its smallest, on a CPU in about three minutes: does every stage run and resume, does the export load?
#
#   PYTHON=python models/starter/smoke.sh [FOLDER]
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
run=${1:-$(mktemp -d)}
python=${PYTHON:-python}
export OMP_NUM_THREADS=1 TQDM_DISABLE=1
with() { "$python" "$@" --preset smoke --run "$run"; }

"$python" train.py check --preset gpu
"$python" train_vae.py check --preset gpu --run "$run/none"
for piece in 1 2; do with train_vae.py train --minutes 0.3 --piece 0.15 --every 50; done
with train.py text --minutes 0.2
with train.py reword --minutes 0.1
with train.py latents
for piece in 1 2; do with train.py flow --minutes 0.2 --piece 0.1 --every 50; done
with train.py distill --minutes 0.1 --every 50
with polish.py --minutes 0.1 --clips 4 --every 50
with reader.py --minutes 0.2 --clips 64 --decoded 8 --unseen 16
with reader.py --minutes 0.1 --unseen 16 --movement
with evaluate.py --prompts 4 --batch 2 --sheet 4 --unseen 16
with export.py write --to "$run/weights"
with export.py keep --to "$run/judge"
rm "$run/transformer.pt"
with train.py flow --start "$run/weights/transformer" --minutes 0.1 --every 50
"$python" export.py open --preset smoke --run "$run/again" --model "$run/weights" --judge "$run/judge"
cp "$run/latents.pt" "$run/again/"
"$python" train.py flow --preset smoke --run "$run/again" --minutes 0.1 --every 50 --tokens 24 --faithful --subject 2
"$python" export.py mix --part "$run=0.4" --part "$run/again=0.6" --run "$run/mean"
"$python" compare.py --preset smoke --run "$run" --run "$run/again" --run "$run/mean" --clips 3
"$python" encoder.py --preset smoke --run "$run/again" --minutes 0.1 --made 20 --renders 12 --every 50
"$python" export.py plot --run "$run" --to "$run/losses.png"
"$python" export.py sample --model "$run/weights" --sheet "$run/sample.png" --prompt "a red car" --threads 1
echo "All of it is in $run"
