#!/usr/bin/env -S sh -e
exec env A=b $A ${B:-/app} "$@"
