#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes build/arm64-sysroot: the aarch64 libraries that the cross build links, unpacked from Debian's packages.
# Called by ./test before the arm64 stage; needs no root. The machine's own package state is left alone: adding a foreign
# architecture would force upgrades of its packages, and libsimdjson-dev cannot be installed for two architectures at once.
# So apt works on lists, a cache and a status file of its own, and nothing is installed, only unpacked.
set -euo pipefail
TERN_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$TERN_ROOT/scripts/lib.sh"

# Development packages and the shared libraries that they link. libc and libstdc++ come with g++-aarch64-linux-gnu.
packages=(
  libfmt-dev libfmt9 nlohmann-json3-dev libcli11-dev libsimdjson-dev libsimdjson14
  libpcre2-dev libpcre2-8-0 libutf8proc-dev libutf8proc2
  libcurl4-openssl-dev libcurl4 libssl-dev libssl3
  libgtest-dev libgmock-dev googletest
  libcurl4-openssl-dev libcurl4 libssl-dev libssl3
  # What libcurl needs itself: the linker wants to see it.
  libbrotli1 libcom-err2 libffi8 libgmp10 libgnutls30 libgssapi-krb5-2 libhogweed6 libidn2-0 libk5crypto3 libkeyutils1
  libkrb5-3 libkrb5support0 libldap-2.5-0 libnettle8 libnghttp2-14 libp11-kit0 libpsl5 librtmp1 libsasl2-2 libssh2-1
  libtasn1-6 libunistring2 libzstd1 zlib1g
)

sysroot="$TERN_BUILD/arm64-sysroot"
stamp="$sysroot/.packages"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "${packages[*]}" ]; then exit 0; fi

command -v apt-get >/dev/null || { say "no apt-get: cannot fetch the aarch64 libraries"; exit 1; }
say "fetching the aarch64 libraries"
work="$sysroot.new"
rm -rf "$work"
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/debs"
: >"$work/apt/status"
apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root
  -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Post-Invoke-Success= -o Dir::State="$work/apt"
  -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt/cache")

fetch() {
  "${apt[@]}" update || echo 'not every source has arm64 packages; going on'
  (cd "$work/debs" && "${apt[@]}" download "${packages[@]}") || return
  local deb
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work" || return; done
}
logged arm64-sysroot fetch
rm -rf "$work/apt" "$work/debs"
printf '%s' "${packages[*]}" >"$work/.packages"
rm -rf "$sysroot"
mv "$work" "$sysroot"
