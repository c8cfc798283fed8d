#!/bin/bash
case "$1" in
  start) exec /app --x ;;
  *) for i in a b; do echo $i | tee log; done ;;
esac
f() { local x=$(id -u); }
cat <<EOF
$A
EOF
f && exec "$@"
