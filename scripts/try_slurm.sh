#!/bin/bash
# Try a run under SLURM on this machine alone: a job of a higher priority takes its place, then its time is over;
# both times it is requeued and goes on.
#   scripts/try_slurm.sh FOLDER DATA   needs root, and the Debian package slurm-wlm
set -eu
folder=$(realpath -m "$1") data=$(realpath "$2") root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
mkdir -p "$folder"/{state,spool} /run/munge
name=$(hostname -s)
cat > "$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=20
NodeName=$name NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=low Nodes=$name Default=YES PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=$name PriorityTier=2 PreemptMode=OFF
CONF
export SLURM_CONF=$folder/slurm.conf
chown munge /run/munge
pgrep munged > /dev/null || runuser -u munge -- munged
trap 'kill $(cat "$folder"/slurm*.pid 2> /dev/null) 2> /dev/null || true' EXIT
slurmctld && sleep 2 && slurmd && sleep 3
sinfo

cat > "$folder/job.sh" <<JOB
#!/bin/bash
#SBATCH --ntasks=2 --requeue --open-mode=append --time=1 --signal=USR1@40
cd "$folder"
export OMP_NUM_THREADS=1 PYTHONPATH=$root
srun --kill-on-bad-exit=1 $python -m genai.train modality=text data=text_folder data.path=$data \\
  modality.tokenizer=characters modality.vocab_size=null modality.block=16 model.network.width=16 \\
  model.network.layers=2 model.network.heads=2 trainer.accelerator=cpu steps=6000 checkpoint_every=100
[ \$? -eq 138 ] && scontrol requeue \$SLURM_JOB_ID   # it saved after USR1, because its time is over
JOB
rm -f "$folder/job.txt"
job=$(sbatch --parsable --output="$folder/job.txt" "$folder/job.sh")
until ls "$folder"/runs/*/*/checkpoints/last.ckpt > /dev/null 2>&1; do sleep 0.5; done
echo "job $job trains; now another one takes its place"
sbatch --partition=high --ntasks=2 --output=/dev/null --wrap "sleep 5"
for _ in $(seq 420); do
  state=$(squeue --noheader --job "$job" --format %T 2> /dev/null || true)
  [ -z "$state" ] || [ "$state" = COMPLETED ] && break
  sleep 1
done
scontrol show job "$job" | grep -E "JobState|Restarts|ExitCode" || true
grep -v "^step" "$folder/job.txt"
echo "folders of runs: $(ls -d "$folder"/runs/*/* | wc -l)"
