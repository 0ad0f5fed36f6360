# Put onto the boot partition by the proof alone, and started by a word to the kernel: tells
# through a serial port what becomes of the gateway, each line with the seconds since the
# kernel began. What follows once it serves stands in then.sh, one of those beside this file.
folder=/boot/holdfast/proof
until [ -w /dev/virtio-ports/holdfast ]; do sleep 0.2; done
exec >/dev/virtio-ports/holdfast 2>&1
say() { echo "$(cut -d' ' -f1 /proc/uptime) $*"; }

# What was written since power-on, in sectors: to the data and to the boot partition, and how
# many times to the former.
disk() {
	data=$(basename "$(readlink /run/gateway/data)") boot=$(basename "$(readlink /run/gateway/boot)")
	say disk "$(awk -v data="$data" -v boot="$boot" '$3 == data {d = $10; n = $8} $3 == boot {b = $10} END {print d, b, n}' /proc/diskstats)"
}

say began "$(systemctl show -P UserspaceTimestampMonotonic)"
# Asked seldom, since what asks takes the processors from what is waited for.
case $(systemctl show -P LoadState holdfast) in loaded) ;; *) say absent holdfast ;; esac
until systemctl is-active --quiet holdfast; do sleep 1; done
say ready "$(systemctl show -P ActiveEnterTimestampMonotonic holdfast)"
asked=0
until holdfast infer digits --file $folder/7.json --deadline 10s -o json >/run/answer 2>/run/complaint; do
	say unanswered "$(tr '\n' ' ' </run/complaint)"
	asked=$((asked + 1))
	[ $((asked % 30)) != 0 ] || say status "$(holdfast status -o json | tr -d '\n')"
	sleep 1
done
say answer "$(tr -d '\n' </run/answer)"
until systemctl is-active --quiet gateway-good; do sleep 1; done
say status "$(holdfast status -o json | tr -d '\n')"
say memory "$(awk '/MemTotal|MemAvailable/ {printf "%s ", $2}' /proc/meminfo)"
say machine "$(cat /etc/machine-id) $(hostname) $(sed 's/.*rauc.slot=\([AB]\).*/\1/' /proc/cmdline)"
say data "$(df -k --output=fstype,size,used /var | tail -1)"
disk
say failed "$(systemctl list-units --failed --plain --no-legend | tr '\n' ' ')"
. $folder/then.sh
