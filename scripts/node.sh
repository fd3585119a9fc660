#!/usr/bin/env bash
# Says why this machine cannot have the node of make e2e, and fails; says nothing
# and succeeds where it can.
set -uo pipefail

cannot() {
	printf '%s\n' "$*"
	exit 1
}

[ "$(uname -s)" = Linux ] || cannot "a kubelet needs Linux, and this is $(uname -s)"
[ "$(id -u)" = 0 ] || cannot "containerd and the kubelet need root, and this is $(id -un)"
command -v containerd >/dev/null || command -v apt-get >/dev/null ||
	cannot "there is no containerd, and no apt-get that could install it"

# The kubelet makes a group of processes for each pod: below pids in version 1 of cgroups.
group=/sys/fs/cgroup
[ ! -d $group/pids ] || group=$group/pids
[ -e $group/cgroup.procs ] || cannot "no cgroups are mounted on /sys/fs/cgroup"
mkdir $group/backstop-$$ 2>/dev/null || cannot "no cgroup can be made in $group"
rmdir $group/backstop-$$

# Each pod has a network of its own, and a root of layers.
unshare --net true 2>/dev/null || cannot "no network namespace can be made"
layers=$(mktemp -d)
trap 'rm -rf "$layers"' EXIT
mkdir "$layers/lower" "$layers/upper" "$layers/work" "$layers/all"
unshare --mount mount -t overlay overlay \
	-o "lowerdir=$layers/lower,upperdir=$layers/upper,workdir=$layers/work" "$layers/all" 2>/dev/null ||
	cannot "no overlay file system can be mounted in $layers"
