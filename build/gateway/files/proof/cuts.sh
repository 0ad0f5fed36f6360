# Keeps a gateway that serves busy until its power is cut.
# Another system, once: holdfast starts the machine anew, and says afterwards what became of it.
if [ -e $folder/update.raucb ]; then
	if [ ! -e /var/tmp/updated ]; then
		: >/var/tmp/updated
		sync
		{ holdfast update-system $folder/update.raucb 2>&1; echo "ended $?"; } | while read -r line; do say installing "$line"; done
		exec sleep infinity
	fi
	until holdfast status -o json | tr -d ' \n' | grep -q '"system":{[^}]*"last":'; do sleep 1; done
	say status "$(holdfast status -o json | tr -d '\n')"
fi
# Once, and until it has proved itself: a policy that is new is taken back where the agent
# ends three times without order, and a power cut is nothing else.
if [ ! -e /var/tmp/applied ]; then
	holdfast policy apply $folder/policy.json >/run/applied 2>&1
	code=$?
	while holdfast status -o json | tr -d ' \n' | grep -q '"trial":true'; do sleep 1; done
	echo "$code $(tr '\n' ' ' </run/applied)" >/var/tmp/applied
	sync
fi
say applied "$(cat /var/tmp/applied)"
say settled
n=0
while :; do
	n=$((n + 1))
	holdfast infer digits --file $folder/7.json --deadline 10s -o json >/run/answer 2>&1 && say work $n
	echo $n >/var/tmp/work.$((n % 8))
	sync
done
