# needs: fio
# fio writes blocks that say what they are, through each of its engines, and reads them again: here, and on a restored drive.
checked() {
  local size=4m; [ -z "${SOAK:-}" ] || size=200m
  fio --directory="$PWD" --size=$size --randrepeat=1 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --verify_dump=0 \
    --unlink=0 --output="$TEMP/fio" "$@" || { cat "$TEMP/fio"; return 1; }
}

jobs() {
  checked --name=psync --ioengine=psync --rw=randwrite --bs=4k "$@"
  checked --name=odd --ioengine=psync --rw=randwrite --bsrange=512-60k --bs_unaligned=1 --do_verify=1 --verify_interval=512 "$@"
  checked --name=fsync --ioengine=psync --rw=write --bs=64k --fsync=16 "$@"
  checked --name=mmap --ioengine=mmap --rw=randwrite --bs=4k "$@"
  checked --name=libaio --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bs=16k "$@"
  checked --name=aio4 --ioengine=libaio --direct=1 --iodepth=8 --rw=randwrite --bs=4k --numjobs=3 "$@"
}

work() { jobs; }
again() { jobs --verify_only; }
