#!/bin/bash
#SBATCH --job-name=mien
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output=mien-%j.log

# One torchrun a node, one process a GPU. The same job again, by hand or requeued, goes on from the last state.
# Without GPUs: leave --gpus-per-node out, set PROCESSES to the cores of a node, and OMP_NUM_THREADS=1.
set -euo pipefail
DATA=${DATA:?say DATA=/shared/faces.zip, on storage that all nodes see}
RUNS=${RUNS:?say RUNS=/shared/runs}
PROCESSES=${PROCESSES:-4}
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}

exec srun --kill-on-bad-exit=1 torchrun \
    --nnodes="$SLURM_NNODES" --nproc-per-node="$PROCESSES" --max-restarts=3 \
    --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$HEAD:29400" \
    -m mien train "$DATA" --out "$RUNS" "$@"
