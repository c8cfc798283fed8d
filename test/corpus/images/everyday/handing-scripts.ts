/** Scripts that hand over to another program. */

export const PROFILE: string = `if [ "$(id -u)" -eq 0 ]; then
  PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
else
  PATH="/usr/local/bin:/usr/bin:/bin"
fi
export PATH
if [ -d /etc/profile.d ]; then
  for i in /etc/profile.d/*.sh; do
    if [ -r $i ]; then . $i; fi
  done
  unset i
fi
`;

export const SBT: string = `#!/usr/bin/env bash
realpath () {
(
  TARGET="$1"
  cd "$(dirname "$TARGET")"
  TARGET=$(basename "$TARGET")
  COUNT=0
  while [ -L "$TARGET" -a $COUNT -lt 100 ]
  do
    TARGET=$(readlink "$TARGET")
    cd "$(dirname "$TARGET")"
    TARGET=$(basename "$TARGET")
    COUNT=$(($COUNT + 1))
  done
  echo "$(pwd -P)/$TARGET"
)
}
java_of_the_image() {
  if [[ -n "$JAVA_HOME" ]] && [[ -x "$JAVA_HOME/bin/java" ]];  then
    echo "$JAVA_HOME/bin/java"
  else
    echo "java"
  fi
}
declare -a residual_args
declare -a java_args
addJava () { java_args+=( "$1" ); }
addResidual () { residual_args+=( "$1" ); }
process_args () {
  while [[ $# -gt 0 ]]; do
    case "$1" in
      -java-home) shift; java_cmd="$1/bin/java" && shift ;;
      -D*|-XX*) addJava "$1" && shift ;;
      -J*) addJava "\${1:2}" && shift ;;
      *) addResidual "$1" && shift ;;
    esac
  done
}
run() {
  process_args "$@"
  set -- "\${residual_args[@]}"
  exec "$java_cmd" \${java_opts[@]} "\${java_args[@]}" -cp "$app_classpath" "\${mainclass[@]}" "$@"
}
declare -r app_home="$(realpath "$(dirname "$(realpath "$0")")")"
declare -r lib_dir="$(realpath "\${app_home}/../lib")"
declare -a mainclass=('shop.Main')
declare -r app_classpath="$lib_dir/shop.jar"
declare java_cmd="$(java_of_the_image)"
run "$@"
`;

export const PRINTED_WRAPPER: string = `#!/usr/bin/env bash
args=("$@")
drop_rights() {
  if [ $(id -u) != 0 ]; then
    return
  elif [ -x /sbin/su-exec ]; then
    echo su-exec nobody
  else
    echo gosu nobody
  fi
}
if [ "$1" = "help" ]; then
  printf "see the documentation"
  exit 0
elif [ "$1" = "jobmanager" ]; then
  args=("\${args[@]:1}")
  exec $(drop_rights) "$APP_HOME/bin/jobmanager.sh" start-foreground "\${args[@]}"
fi
exec $(drop_rights) "\${args[@]}"
`;

export const TEMPLATED: string = `#!/bin/bash
DIR="$( cd -P "$( dirname "\${BASH_SOURCE[0]}" )" && pwd )"
run() {
  while :; do
    cp -f "$DIR"/helper.sh.template "$DIR"/helper.sh
    "$DIR"/helper.sh $*
    code=$?
    if [[ $code -eq 2 ]]; then echo again; else exit $code; fi
  done
}
run $*
`;
