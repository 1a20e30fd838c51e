#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make_certs.sh FOLDER [NAME ...]: a throw-away CA (ca.pem) and, for each name, NAME.pem and NAME.key for loopback.
# For demonstrations and tests only: nothing here protects the CA's key beyond its file mode.
set -euo pipefail
umask 077

folder=${1:?usage: make_certs.sh FOLDER [NAME ...]}
shift
mkdir -p "$folder"
cd "$folder"

quietly() {
    "$@" >openssl.log 2>&1 || {
        cat openssl.log >&2
        exit 1
    }
}

key_of() { quietly openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

if [ ! -f ca.pem ]; then
    key_of ca.key
    quietly openssl req -x509 -new -key ca.key -sha256 -days 30 -subj "/CN=Tributary throw-away CA" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign" -out ca.pem
fi
for name in "$@"; do
    key_of "$name.key"
    quietly openssl req -new -key "$name.key" -subj "/CN=$name" -out "$name.csr"
    cat >"$name.ext" <<EXT
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1
EXT
    quietly openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days 30 \
        -extfile "$name.ext" -out "$name.pem"
    rm -f "$name.csr" "$name.ext"
done
rm -f openssl.log ca.srl
