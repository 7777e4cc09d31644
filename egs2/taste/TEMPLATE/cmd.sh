# shellcheck shell=bash disable=SC2034
# Where jobs run: local, slurm, pbs or sge. Flags of the cluster: conf/{slurm,pbs,queue}.conf
# here, or else of TEMPLATE.
case "${cmd_backend:-local}" in
    local) _cmd=utils/run.pl ;;
    slurm) _cmd=utils/slurm.pl ;;
    pbs) _cmd=utils/pbs.pl ;;
    sge) _cmd=utils/queue.pl ;;
    *) echo "cmd.sh: cmd_backend is local, slurm, pbs or sge, not '${cmd_backend}'" >&2; return 1 ;;
esac
train_cmd="${_cmd}"   # CPU jobs
cuda_cmd="${_cmd}"    # jobs that may use a GPU
decode_cmd="${_cmd}"  # inference jobs
unset _cmd
