#!/bin/sh
# Makes signature_vectors.json with openssl and coreutils only, so that the product is not its own witness.
# Run once: sh tests/contract/make_signature_vectors.sh > tests/contract/signature_vectors.json
# The keys exist for these vectors alone. They protect nothing.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

party() { # name: an RSA-2048 key with a self-signed certificate of a hundred years
  openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 36500 -subj "/CN=$1 TEST KEY, PROTECTS NOTHING" \
    -keyout "$1.key" -out "$1.pem" 2>/dev/null
}
quoted() { awk 'BEGIN { printf "\"" } { gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); printf "%s\\n", $0 } END { printf "\"" }' "$1"; }

vector() { # name signer method url date body-file [certificate-file [file-that-was-hashed]]
  hash=$(openssl dgst -sha256 -binary "${8-$6}" | base64 -w0)
  text="$3;$(printf %s "$4" | tr 'A-Z' 'a-z');$5;$hash"
  printf %s "$text" > text
  signature=$(openssl dgst -sha256 -sign "$2.key" text | base64 -w0)
  [ -n "${first-}" ] && printf ',\n'
  first=no
  printf '    {"name": "%s", "signer": "%s", "method": "%s", "url": "%s",\n' "$1" "$2" "$3" "$4"
  printf '     "date": "%s", "body_base64": "%s",\n' "$5" "$(base64 -w0 "$6")"
  printf '     "content_hash": "%s",\n     "text": "%s",\n     "signature": "%s",\n' "$hash" "$text" "$signature"
  printf '     "certificate_header": "%s",\n' "$(base64 -w0 "${7-$2.pem}")"
  printf '     "only_accepted": %s}' "$only_accepted"
}

only_accepted=false # true: what others may send, and we do not write ourselves
party sender
party dip
printf '[{"payload":{"CommonBlock":{"S0":{"interfaceID":"IF-021"}}}}]' > plain
printf '[{"payload":{"CommonBlock":{"S1":{"subText":"caf\303\251 \302\243 \342\202\254"}}}}]' > accents
printf '{}' > none
printf '[ {"payload" :\r\n {}} ]\n' > spaces
: > nothing
sed 's/$/\r/' sender.pem > sender.crlf

printf '{\n  "note": "Test keys only: they sign these vectors and protect nothing. Made by make_signature_vectors.sh.",\n'
printf '  "keys": {\n    "sender": %s,\n    "dip": %s\n  },\n' "$(quoted sender.key)" "$(quoted dip.key)"
printf '  "vectors": [\n'
vector "a sender posts to the DIP" sender POST "https://DIP.Example.org/dip-channel/IF-021" 2026-01-05T01:00:00.000Z plain
vector "the port is signed as it is written" sender POST "https://dip.example.org:8443/dip-channel/IF-021" 2026-01-05T01:00:00.007Z plain
vector "the query is signed too, in lower case" sender GET "https://dip.example.org/companyDetails?X-company-number=AB123456" 2026-06-30T23:59:59.999Z none
vector "characters beyond ASCII are hashed as UTF-8" sender POST "https://dip.example.org/dip-channel/IF-013" 2026-01-05T01:00:00.120Z accents
vector "white space and line ends are part of the hash" sender POST "https://dip.example.org/statusmessage" 2026-01-05T01:00:00.120Z spaces
vector "the DIP posts to a webhook" dip POST "https://Party.Example.com:9443/hooks/IF-021?who=Me" 2026-01-05T01:00:01.250Z plain
vector "a DELETE without a body hashes {}" sender DELETE "https://dip.example.org/statusmessage/config/2300000001" 2026-01-05T01:00:00.000Z nothing sender.pem none
only_accepted=true
vector "a DELETE may hash nothing instead" sender DELETE "https://dip.example.org/statusmessage/config/2300000001" 2026-01-05T01:00:00.001Z nothing sender.pem
only_accepted=false
vector "a GET without a body hashes {}" sender GET "https://dip.example.org/companyDetails" 2026-01-05T01:00:00.002Z nothing sender.pem none
only_accepted=true
vector "a certificate with the line ends of Windows" sender POST "https://dip.example.org/dip-channel/IF-021" 2026-01-05T01:00:00.003Z plain sender.crlf
only_accepted=false
vector "a default port that the caller wrote" sender POST "https://dip.example.org:443/dip-channel/IF-021" 2026-01-05T01:00:00.004Z plain
vector "a URL in capitals" sender POST "HTTPS://DIP.EXAMPLE.ORG/DIP-CHANNEL/IF-021" 2026-01-05T01:00:00.005Z plain
vector "the DIP posts characters beyond ASCII" dip POST "https://party.example.com/hooks" 2026-01-05T01:00:01.251Z accents
vector "the DIP posts to a webhook with its default port written" dip POST "https://party.example.com:443/hooks/status" 2026-01-05T01:00:01.252Z plain
printf '\n  ]\n}\n'
