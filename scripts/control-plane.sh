#!/usr/bin/env bash
# Brings etcd, kube-apiserver, kube-controller-manager and kubectl into the
# user's cache folder and prints that folder. Each is downloaded where the
# release host or setup-envtest can be reached, and built from its Go module
# where not. What is there already is not touched again.
#
#   control-plane.sh [node]   with kubelet and kube-scheduler, and Debian's containerd, runc and CNI plugins
#
#   BACKSTOP_CACHE    where to keep them (default: the user's cache folder)
#   BACKSTOP_OFFLINE  set to 1 to skip the downloads and build at once
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
k8s=$(sed -n 's/^\tk8s.io\/kubernetes //p' "$here/controlplane/go.mod")
etcd=$(sed -n 's/^\tgo.etcd.io\/etcd\/server\/v3 //p' "$here/controlplane/go.mod")
cache=${BACKSTOP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/backstop}
dir=$cache/control-plane/$k8s-etcd-$etcd
os=$(go env GOOS) arch=$(go env GOARCH)

say() { printf '%s\n' "control plane: $*" >&2; }

# beat prints one line every 20 seconds while a long command runs.
beat() {
	local what=$1 start=$SECONDS pid rc=0
	shift
	"$@" &
	pid=$!
	trap 'kill $pid 2>/dev/null; exit 130' INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		(((SECONDS - start) % 20)) || say "$what: $((SECONDS - start)) s"
	done
	wait "$pid" || rc=$?
	trap - INT TERM
	return "$rc"
}

# download fetches one Kubernetes binary and checks it against its published sum.
download() {
	local name=$1 url=https://dl.k8s.io/release/$k8s/bin/$os/$arch/$1 sum
	sum=$(curl -fsSL --connect-timeout 3 --max-time 20 "$url.sha256" 2>/dev/null) || return 1
	beat "downloading $name" curl -fsSL --connect-timeout 3 --max-time 600 -o "$dir/$name.part" "$url" || return 1
	if command -v sha256sum >/dev/null; then
		echo "$sum  $dir/$name.part" | sha256sum -c --status
	else
		echo "$sum  $dir/$name.part" | shasum -a 256 -c --status
	fi || { say "$name: the download does not match its published sum, building instead"; return 1; }
	chmod +x "$dir/$name.part"
	mv "$dir/$name.part" "$dir/$name"
}

# envtest takes etcd from setup-envtest, which knows where releases live.
envtest() {
	local from
	curl -fsS --connect-timeout 3 --max-time 10 -o /dev/null https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml 2>/dev/null || return 1
	from=$(go run sigs.k8s.io/controller-runtime/tools/setup-envtest@release-0.24 use -p path "${k8s#v}" --bin-dir "$cache/envtest" 2>/dev/null) || return 1
	install -m 0755 "$from/etcd" "$dir/etcd.part"
	mv "$dir/etcd.part" "$dir/etcd"
}

build() {
	local name=$1 pkg=$2 minor
	minor=${k8s#v1.}
	say "building $name $3 from its Go module (minutes the first time, cached in $dir)"
	(
		cd "$here/controlplane"
		# A folder of its own for the module file, so that a build never edits the checkout.
		GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=0 beat "building $name" go build -trimpath \
			-ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$k8s -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}" \
			-o "$dir/$name.part" "$pkg"
	)
	mv "$dir/$name.part" "$dir/$name"
}

# packages installs what a node needs beside the kubelet, on Debian and its kin.
packages() {
	local need=
	command -v containerd >/dev/null || need="$need containerd"
	command -v runc >/dev/null || need="$need runc"
	command -v ip >/dev/null || need="$need iproute2"
	[ -x /usr/lib/cni/bridge ] || need="$need containernetworking-plugins"
	[ -n "$need" ] || return 0
	if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
		say "a node needs these packages:$need. As root on Debian they would be installed now"
		return 1
	fi
	say "installing$need"
	# shellcheck disable=SC2086 # the names are words
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $need; } >&2
}

mkdir -p "$dir"
exec 9>"$dir/.lock"
if command -v flock >/dev/null; then flock 9; fi

reachable=
names='kube-apiserver kube-controller-manager kubectl'
[ "${1:-}" != node ] || names="$names kubelet kube-scheduler"
for name in $names; do
	[ -x "$dir/$name" ] && continue
	if [ "${BACKSTOP_OFFLINE:-}" != 1 ] && [ "$reachable" != no ] && download "$name"; then continue; fi
	reachable=no
	build "$name" "k8s.io/kubernetes/cmd/$name" "$k8s"
done
if [ ! -x "$dir/etcd" ]; then
	if [ "${BACKSTOP_OFFLINE:-}" = 1 ] || ! envtest; then
		build etcd go.etcd.io/etcd/server/v3 "$etcd"
	fi
fi
[ "${1:-}" != node ] || packages
printf '%s\n' "$dir"
