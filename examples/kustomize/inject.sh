#!/bin/sh
# A KRM function: reads a ResourceList, and writes it with its Pods patched. Flags of your cluster go here.
exec libc-dns inject --cluster-dns 10.96.0.10
