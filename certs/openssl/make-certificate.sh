#!/usr/bin/env bash
# Makes a CA and a serving certificate for the webhook with openssl, for those who have neither Helm nor cert-manager.
# Run it again for a new certificate: a CA that is in the folder already is used again, and nobody has to be told.
set -euo pipefail

usage() {
  cat <<'END'
make-certificate.sh [-n NAMESPACE] [-s SERVICE] [-d DAYS] [-c CA_DAYS] FOLDER

  -n  namespace of the Service (libc-dns)
  -s  name of the Service (libc-dns-webhook)
  -d  days that the certificate is good for (365)
  -c  days that the CA is good for, when it is made (3650)

Writes ca.crt, ca.key, tls.crt and tls.key into FOLDER and says what to do with them. Keep ca.key out of the cluster.
END
}

namespace=libc-dns service=libc-dns-webhook days=365 ca_days=3650
while getopts n:s:d:c:h option; do
  case $option in
    n) namespace=$OPTARG ;;
    s) service=$OPTARG ;;
    d) days=$OPTARG ;;
    c) ca_days=$OPTARG ;;
    h) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# = 1 ] || { usage >&2 && exit 2; }

# Private keys are nobody else's from the moment they exist.
umask 077
mkdir -p "$1"
cd "$1"

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

if [ ! -e ca.crt ]; then
  key ca.key
  openssl req -x509 -new -key ca.key -sha256 -days "$ca_days" -subj "/CN=$service CA" -out ca.crt \
    -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign,cRLSign
fi

# A certificate that outlives its CA would fail without a warning.
openssl x509 -in ca.crt -noout -checkend $((days * 86400)) >/dev/null || {
  echo "ca.crt expires before a certificate of $days days would: give -d a smaller number, or begin with an empty folder" >&2
  exit 1
}

name=$service.$namespace.svc
key tls.key.new
# The subject holds 64 characters at most; names are read from subjectAltName alone.
openssl req -new -key tls.key.new -subj "/CN=libc-dns-webhook" -out tls.csr
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days "$days" -out tls.crt.new -extfile <(
  printf '%s\n' "subjectAltName=DNS:$name,DNS:$service.$namespace" basicConstraints=critical,CA:false \
    keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth
) 2>/dev/null
openssl verify -CAfile ca.crt -verify_hostname "$name" tls.crt.new >/dev/null
mv tls.key.new tls.key
mv tls.crt.new tls.crt
rm tls.csr

bundle=$(openssl base64 -A -in ca.crt)
cat <<END
The certificate for $name is in $PWD. The Secret, which running replicas read again within two minutes:

  kubectl -n $namespace create secret tls $service-tls --cert="$PWD/tls.crt" --key="$PWD/tls.key" --dry-run=client -o yaml | kubectl apply -f -

What the API server trusts, once and after a new CA:

  kubectl patch mutatingwebhookconfiguration $service --type=json -p '[
    {"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"$bundle"},
    {"op":"add","path":"/webhooks/1/clientConfig/caBundle","value":"$bundle"}]'
END
