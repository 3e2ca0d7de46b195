#!/usr/bin/env bash
# Installs what CI needs from Debian: tools for a real node, and those that look at images. Only what is missing; as root.
set -euo pipefail
packages=(runc nftables iproute2 util-linux skopeo umoci buildah)
missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
    echo "installed already: ${packages[*]}"
    exit
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet --quiet
apt-get install --yes --quiet --no-install-recommends "${missing[@]}"
