# Tells how a gateway stands, again and again, and has it work between: whatever is done to it
# is done from outside, by its fleet.
if [ -e $folder/90-proof.yaml ]; then
	cp $folder/90-proof.yaml /etc/holdfast/conf.d/
	systemctl restart holdfast
fi
say settled
n=0
while :; do
	n=$((n + 1))
	say boot "$(cat /proc/sys/kernel/random/boot_id)"
	holdfast status -o json >/run/status 2>/dev/null && say status "$(tr -d '\n' </run/status)"
	holdfast infer digits --file $folder/7.json --deadline 10s -o json >/run/answer 2>&1 && say work $n
	sleep 5
done
