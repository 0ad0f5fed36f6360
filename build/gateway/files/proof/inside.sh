# Leaves a gateway that serves alone for a while and tells what is written to its disk; then
# runs tests on it, out of a second disk, which also has the node that they are for.
[ ! -s $folder/idle ] || {
	left=$(cat $folder/idle)
	while :; do
		disk
		[ "$left" -gt 0 ] || break
		left=$((left - 1))
		sleep 60
	done
	say memory "$(awk '/MemTotal|MemAvailable/ {printf "%s ", $2}' /proc/meminfo)"
}
[ -s $folder/steps ] || {
	say settled
	exec sleep infinity
}
disk=/run/inside
mkdir -p $disk
mount -t ext4 /dev/vda $disk
mkdir -p $disk/lower/lib $disk/lower/bin
mv $disk/usr/lib/holdfast-vm $disk/lower/lib/
mv $disk/usr/bin/ctr $disk/lower/bin/
mount -t overlay -o lowerdir=$disk/lower/lib:/usr/lib overlay /usr/lib
mount -t overlay -o lowerdir=$disk/lower/bin:/usr/bin overlay /usr/bin
mount --bind $disk/srv /srv
# The node of the tests has no policy: its workloads are said by a file.
systemctl stop holdfast
holdfast clear >/run/cleared 2>&1 || say line "setup $(tr '\n' ' ' </run/cleared)"
find /var/lib/holdfast -mindepth 1 -maxdepth 1 ! -name images -exec rm -rf {} +
rm -rf /etc/holdfast/trust /etc/holdfast/factory-policy.json
cp $disk/etc/holdfast/* /etc/holdfast/
systemctl start holdfast
export PATH=/usr/lib/holdfast-vm/bin:$PATH HOME=/root
while read -r name dir words; do
	cd "/srv/holdfast/$dir" || continue
	# Words without blanks or quotes, as they are.
	{ $words 2>&1 </dev/null; echo "ended $?"; } | while read -r line; do
		case $line in
		"ended "*) say ran "$name ${line#ended }" ;;
"=== "*) ;;
		*) say line "$name $line" ;;
		esac
	done
done <$folder/steps
say settled
exec sleep infinity
