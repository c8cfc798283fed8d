import { type Case, GLIBC, GO } from '../cases.ts';
import { BASH, EXEC, RUN, scripted } from './shape.ts';

/** Programs of interpreters, and of Go. */

const JAVA = 'opt/java/openjdk/bin/java';
const javaHome = ['JAVA_HOME=/opt/java/openjdk', 'PATH=/opt/java/openjdk/bin:/usr/local/bin:/usr/bin:/bin'];

export const runtimes: readonly Case[] = [
  scripted(
    ['node', 'debian'],
    ['usr/local/bin/node', '@glibc'],
    `${RUN}if [ "\${1#-}" != "\${1}" ] || [ -z "$(command -v "\${1}")" ] || { [ -f "\${1}" ] && ! [ -x "\${1}" ]; }; then\n  set -- node "$@"\nfi\n${EXEC}`,
    ['node'],
  ),
  scripted(
    ['node-alpine', 'alpine'],
    ['usr/local/bin/node', '@musl'],
    `${RUN}if [ "\${1#-}" != "\${1}" ] || [ -z "$(command -v "\${1}")" ]; then\n  set -- node "$@"\nfi\n${EXEC}`,
    ['node', 'server.js'],
  ),
  scripted(
    ['ghost', 'debian'],
    ['usr/local/bin/node', '@glibc'],
    `${BASH}if [[ "$*" == node*current/index.js* ]]; then export GHOST=1; fi\n${EXEC}`,
    ['node', 'current/index.js'],
    { workingDir: '/var/lib/ghost' },
  ),
  {
    name: 'python',
    trap: 'the shape of python',
    on: 'debian',
    truth: GLIBC,
    cmd: ['python3', 'app.py'],
    files: { 'usr/local/bin/python3.13': '@glibc', 'usr/local/bin/python3': '->python3.13' },
  },
  {
    name: 'gunicorn',
    trap: 'a script of pip whose #! names the interpreter',
    on: 'debian',
    truth: GLIBC,
    cmd: ['gunicorn', 'app:app'],
    files: {
      'usr/local/bin/python3.13': '@glibc',
      'usr/local/bin/gunicorn': '#!/usr/local/bin/python3.13\nimport sys\n',
    },
  },
  scripted(
    ['airflow', 'debian'],
    ['usr/local/bin/python3.12', '@glibc'],
    `#!/usr/bin/env bash\nset -euo pipefail\nif [[ "\${1:-}" == "" ]]; then set -- airflow; fi\nexec "airflow" "\${@}"\n`,
    ['webserver'],
    {
      entrypoint: ['/usr/bin/dumb-init', '--', '/usr/local/bin/docker-entrypoint.sh'],
      files: {
        'usr/bin/dumb-init': '@dumb-init',
        'usr/local/bin/airflow': '#!/usr/local/bin/python3.12\nimport sys\n',
      },
    },
  ),
  scripted(
    ['rails', 'debian'],
    ['usr/local/bin/ruby', '@glibc'],
    `#!/bin/bash -e\nif [ "\${*: -2:1}" == "./bin/rails" ] && [ "\${*: -1:1}" == "server" ]; then echo prepare; fi\nexec "\${@}"\n`,
    ['./bin/rails', 'server'],
    {
      workingDir: '/rails',
      files: { 'rails/bin/rails': '#!/usr/bin/env ruby\nrequire "rails"\n' },
    },
  ),
  {
    name: 'spring-boot',
    trap: 'java -jar behind sh -c, with options from the environment',
    on: 'debian',
    truth: GLIBC,
    entrypoint: ['sh', '-c', 'java $JAVA_OPTS -jar /app.jar'],
    env: [...javaHome, 'JAVA_OPTS=-Xmx256m'],
    files: { [JAVA]: '@glibc' },
  },
  {
    name: 'temurin',
    trap: 'the shape of eclipse-temurin',
    on: 'debian',
    truth: GLIBC,
    entrypoint: ['/__cacert_entrypoint.sh'],
    cmd: ['java', '-jar', '/app.jar'],
    env: javaHome,
    files: {
      [JAVA]: '@glibc',
      '__cacert_entrypoint.sh': `#!/usr/bin/env bash\nset -e\nTMPDIR=\${TMPDIR:-/tmp}\n${EXEC}`,
    },
  },
  scripted(
    ['tomcat', 'debian'],
    [JAVA, '@glibc'],
    `${RUN}_RUNJAVA="$JAVA_HOME"/bin/java\neval exec "\\"$_RUNJAVA\\"" -classpath bootstrap.jar org.apache.catalina.startup.Bootstrap "$@" start\n`,
    ['run'],
    { env: javaHome },
  ),
  scripted(
    ['keycloak', 'debian'],
    [JAVA, '@glibc'],
    `#!/bin/bash\nif [ "x$JAVA" = "x" ]; then\n  if [ "x$JAVA_HOME" != "x" ]; then JAVA="$JAVA_HOME/bin/java"; else JAVA="java"; fi\nfi\nJAVA_RUN_OPTS="-Dkc.home.dir=/opt/keycloak"\neval exec "'$JAVA'" $JAVA_RUN_OPTS io.quarkus.bootstrap.runner.QuarkusEntryPoint "$@"\n`,
    ['start'],
    { env: javaHome },
  ),
  scripted(
    ['jenkins', 'debian'],
    [JAVA, '@glibc'],
    `#! /bin/bash -e\nif [[ $# -lt 1 ]] || [[ "$1" == "--"* ]]; then\n  exec java -Duser.home=/var/jenkins_home -jar /usr/share/jenkins/jenkins.war "$@"\nfi\n${EXEC}`,
    [],
    {
      entrypoint: ['/usr/bin/tini', '--', '/usr/local/bin/docker-entrypoint.sh'],
      env: javaHome,
      files: { 'usr/bin/tini': '@tini' },
    },
  ),
  scripted(
    ['elasticsearch', 'debian'],
    [JAVA, '@glibc'],
    `#!/bin/bash\nset -e\nif [[ "$1" != "eswrapper" ]]; then\n  exec "$@"\nfi\nexec /usr/share/elasticsearch/bin/elasticsearch\n`,
    ['eswrapper'],
    {
      entrypoint: ['/bin/tini', '--', '/usr/local/bin/docker-entrypoint.sh'],
      env: javaHome,
      files: {
        'usr/bin/tini': '@tini',
        'usr/share/elasticsearch/bin/elasticsearch':
          '#!/bin/bash\nset -e -o pipefail\nexec "$JAVA_HOME/bin/java" -cp lib Elasticsearch "$@"\n',
      },
    },
  ),
  scripted(
    ['spark', 'debian'],
    [JAVA, '@glibc'],
    `#!/bin/bash\ncase "$1" in\n  driver)\n    shift 1\n    CMD=(java -cp jars Submit "$@")\n    ;;\n  *)\n    CMD=("$@")\n    ;;\nesac\nexec /usr/bin/tini -s -- "\${CMD[@]}"\n`,
    ['driver'],
    { env: javaHome, files: { 'usr/bin/tini': '@tini' } },
  ),
  scripted(
    ['kafka', 'debian'],
    [JAVA, '@glibc'],
    `#!/usr/bin/env bash\n. /etc/kafka/bash-config\nexec /opt/kafka/bin/kafka-run-class.sh kafka.Kafka "$@"\n`,
    [],
    {
      env: javaHome,
      files: {
        'etc/kafka/bash-config': 'set -o nounset -o errexit\n',
        'opt/kafka/bin/kafka-run-class.sh':
          '#!/bin/bash\nif [ -z "$JAVA_HOME" ]; then JAVA="java"; else JAVA="$JAVA_HOME/bin/java"; fi\nexec "$JAVA" -cp libs "$@"\n',
      },
    },
  ),
  scripted(['zookeeper', 'debian'], [JAVA, '@glibc'], `${RUN}${EXEC}`, ['zkServer.sh', 'start-foreground'], {
    env: javaHome,
    files: {
      'usr/local/bin/zkServer.sh':
        '#!/usr/bin/env bash\ncase $1 in\nstart)\n  nohup java Main &\n  ;;\nstart-foreground)\n  exec java -cp lib QuorumPeerMain\n  ;;\nesac\n',
    },
  }),
  scripted(
    ['sonarqube', 'debian'],
    [JAVA, '@glibc'],
    `#!/usr/bin/env bash\nset -e\nif [ "\${1:0:1}" = '-' ] || [ $# -eq 0 ]; then\n  set -- java -jar lib/sonarqube.jar "$@"\nfi\n${EXEC}`,
    [],
    { env: javaHome },
  ),
  scripted(['solr', 'debian'], [JAVA, '@glibc'], `${BASH}${EXEC}`, ['solr-foreground'], {
    env: javaHome,
    files: { 'usr/local/bin/solr-foreground': '#!/bin/bash\nset -euo pipefail\nexec java -jar start.jar "$@"\n' },
  }),
  scripted(
    ['fluentd', 'debian'],
    ['usr/local/bin/ruby', '@glibc'],
    `#!/bin/sh\nif ! echo $@ | grep -e ' \\-c' > /dev/null; then set -- "$@" --config /fluentd/etc/fluent.conf; fi\n${EXEC}`,
    ['fluentd'],
    {
      entrypoint: ['tini', '--', '/usr/local/bin/docker-entrypoint.sh'],
      files: { 'usr/bin/tini': '@tini', 'usr/local/bin/fluentd': '#!/usr/local/bin/ruby\nrequire "fluentd"\n' },
    },
  ),
  scripted(
    ['rabbitmq', 'debian'],
    ['opt/erlang/lib/erlang/bin/erl', '@glibc'],
    `${BASH}if [[ "$1" == rabbitmq* ]] && [ "$(id -u)" = '0' ]; then exec gosu nobody "$BASH_SOURCE" "$@"; fi\n${EXEC}`,
    ['rabbitmq-server'],
    {
      env: ['PATH=/opt/erlang/lib/erlang/bin:/usr/local/bin:/usr/bin:/bin'],
      files: {
        'usr/local/bin/gosu': '@gosu',
        'usr/local/bin/rabbitmq-server': '#!/bin/sh\nset -e\nERL=erl\nexec $ERL -noinput "$@"\n',
      },
    },
  ),
];

const single = (name: string, path: string, on: Case['on'] = 'alpine', more: Partial<Case> = {}): Case => ({
  name,
  trap: `the shape of ${name}`,
  on,
  truth: GO,
  entrypoint: [`/${path}`],
  files: { [path]: '@go' },
  budget: 'program',
  ...more,
});

export const goPrograms: readonly Case[] = [
  single('prometheus', 'bin/prometheus', 'alpine', { cmd: ['--config.file=/etc/prometheus/prometheus.yml'] }),
  single('alertmanager', 'bin/alertmanager'),
  single('etcd', 'usr/local/bin/etcd', 'debian'),
  single('coredns', 'coredns', 'debian'),
  single('loki', 'usr/bin/loki'),
  single('influx-telegraf', 'usr/bin/telegraf', 'debian', {
    entrypoint: ['/entrypoint.sh'],
    cmd: ['telegraf'],
    budget: 'base',
    files: {
      'usr/bin/telegraf': '@go',
      'entrypoint.sh': `#!/bin/bash\nset -e\nif [ "\${1:0:1}" = '-' ]; then set -- telegraf "$@"; fi\nif [ "$(id -u)" -ne 0 ]; then\n  exec "$@"\nelse\n  exec setpriv --reuid 65534 --clear-groups "$@"\nfi\n`,
    },
  }),
  single('grafana', 'usr/share/grafana/bin/grafana', 'alpine', {
    entrypoint: ['/run.sh'],
    files: {
      'usr/share/grafana/bin/grafana': '@go',
      'run.sh':
        '#!/bin/bash -e\nPERMISSIONS_OK=0\nexport HOME="$GF_PATHS_HOME"\nexec grafana server --homepath="$GF_PATHS_HOME" "$@"\n',
    },
    env: [
      'PATH=/usr/share/grafana/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'GF_PATHS_HOME=/usr/share/grafana',
    ],
  }),
  scripted(
    ['minio', 'debian'],
    ['usr/bin/minio', '@go'],
    `#!/bin/sh\nif [ "\${1}" != "minio" ]; then\n  if [ -n "\${1}" ]; then set -- minio "$@"; fi\nfi\ndocker_switch_user() {\n  if [ -n "\${MINIO_USERNAME}" ]; then exec setpriv --reuid "\${MINIO_USERNAME}" "$@"; else exec "$@"; fi\n}\ndocker_switch_user "$@"\n`,
    ['minio'],
  ),
  scripted(
    ['vault', 'alpine'],
    ['bin/vault', '@go'],
    `#!/usr/bin/dumb-init /bin/sh\nset -e\nif [ "\${1:0:1}" = '-' ]; then set -- vault "$@"; fi\nif [ "$1" = 'server' ]; then shift; set -- vault server "$@"; fi\n${EXEC}`,
    ['server', '-dev'],
    { files: { 'usr/bin/dumb-init': '@dumb-init' } },
  ),
  scripted(
    ['consul', 'alpine'],
    ['bin/consul', '@go'],
    `#!/usr/bin/dumb-init /bin/sh\nset -e\nif [ "$1" = 'agent' ]; then shift; set -- consul agent -data-dir=/consul "$@"; fi\n${EXEC}`,
    ['agent', '-dev'],
    { files: { 'usr/bin/dumb-init': '@dumb-init' } },
  ),
  scripted(
    ['registry', 'alpine'],
    ['bin/registry', '@go'],
    `#!/bin/sh\nset -e\ncase "$1" in\n    *.yaml|*.yml) set -- registry serve "$@" ;;\n    serve|garbage-collect|help|-*) set -- registry "$@" ;;\nesac\n${EXEC}`,
    ['/etc/docker/registry/config.yml'],
  ),
];
