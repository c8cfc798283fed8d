import { type Case, GLIBC, GO, MUSL } from '../cases.ts';

/** Images whose services a supervisor starts, in the shapes of those that people run. The supervisors are stand-ins. */

const overlay = {
  init: '#!/bin/sh -e\nPATH=/command:$PATH\nexport PATH\nexec /package/admin/s6-overlay/libexec/preinit "$@"\n',
  'package/admin/s6-overlay/libexec/preinit': '@musl-static',
  'command/execlineb': '@musl-static',
  'command/s6-setuidgid': '@musl-static',
  'command/s6-notifyoncheck': '@musl-static',
  'command/with-contenv': '#!/bin/sh\nexec s6-envdir -fn -- /run/s6/container_environment "$@"\n',
  'usr/bin/with-contenv': '->/command/with-contenv',
} as const;
const services = '/etc/s6-overlay/s6-rc.d'.slice(1);
const python = {
  'usr/local/bin/python3.12': '@musl-static',
  'usr/bin/python3': '->/usr/local/bin/python3.12',
} as const;

const supervised = (
  name: string,
  command: readonly string[],
  layers: Case['layers'],
  more: Partial<Case> = {},
): Case => ({
  name: `services-of-${name}`,
  trap: `services in the shape of ${name}`,
  on: 'debian',
  truth: GO,
  entrypoint: command,
  files: {},
  ...more,
  ...(layers !== undefined && { layers }),
});

const s6 = (name: string, run: string, more: Partial<Case> = {}, files: Case['files'] = {}): Case =>
  supervised(
    name,
    ['/init'],
    {
      'RUN tar -C / -Jxpf /tmp/s6-overlay.tar.xz': overlay,
      'COPY --from=build /app /app': { 'app/server': '@go' },
      'COPY root/ /': {
        [`${services}/init-app/run`]: '#!/usr/bin/with-contenv bash\nmkdir -p /config\nchown -R 911 /config\n',
        [`${services}/init-app/type`]: 'oneshot\n',
        [`${services}/init-app/up`]: `/${services}/init-app/run`,
        [`${services}/svc-app/run`]: run,
        [`${services}/svc-app/type`]: 'longrun\n',
        [`${services}/user/contents.d/svc-app`]: '',
        ...files,
      },
    },
    more,
  );

const boot = `#!/bin/bash
shutdown() {
  /etc/runit/3
  ls /etc/service | xargs sv force-stop
  kill -HUP $RUNSVDIR
  wait $RUNSVDIR
  for pid in \`ps -eo pid | grep -v PID\`; do
    (timeout 5 /bin/bash -c "kill $pid && wait $pid" 2>/dev/null || kill -9 $pid 2>/dev/null) &
  done
  wait
  exit
}
/etc/runit/1 || exit $?
/etc/runit/2&
RUNSVDIR=$!
trap shutdown SIGTERM SIGHUP
wait $RUNSVDIR
shutdown
`;

export const supervisedServices: readonly Case[] = [
  s6(
    'linuxserver',
    '#!/usr/bin/with-contenv bash\nexec \\\n    s6-notifyoncheck -d -n 300 -w 1000 -c "nc -z localhost 80" \\\n        cd /app s6-setuidgid nobody /app/server --data=/config\n',
  ),
  s6(
    'linuxserver-cron',
    '#!/usr/bin/with-contenv bash\nexec s6-setuidgid nobody /app/server\n',
    {},
    {
      [`${services}/svc-cron/run`]:
        '#!/usr/bin/with-contenv bash\nif command -v crontab >/dev/null 2>&1 && [[ -n "$(crontab -l 2>/dev/null || true)" ]]; then\n  exec sleep 1d\nelse\n  sleep infinity\nfi\n',
      [`${services}/svc-cron/type`]: 'longrun\n',
    },
  ),
  s6('execline', '#!/command/execlineb -P\nwith-contenv\ns6-setuidgid nobody\nfdmove -c 2 1\n/app/server\n'),
  s6(
    'execline-blocks',
    '#!/command/execlineb -P\nforeground { mkdir -p /run/app }\nif { test -d /run/app }\nexport A 1\n/app/server -v\n',
  ),
  s6(
    'home-assistant',
    '#!/usr/bin/with-contenv sh\ncd /app || exit 1\nif [ -z "${DISABLE:-}" ]; then\n  export LD_PRELOAD=/usr/lib/libjemalloc.so.2\nfi\nexec ./server --config /config\n',
  ),
  s6(
    'paperless',
    '#!/command/with-contenv /usr/bin/bash\ncd /app\nexport HOST=${HOST:-${BIND:-"::"}}\nif [[ -n "${USER_IS_NON_ROOT}" ]]; then\n  exec /app/server --ws\nelse\n  exec s6-setuidgid nobody /app/server --ws\nfi\n',
  ),
  supervised('plex', ['/init'], {
    'ADD s6-overlay-amd64.tar.gz /': {
      init: '#!/bin/execlineb -S0\n/etc/s6/init/init-stage1 $@\n',
      'usr/bin/execlineb': '@musl-static',
      'usr/bin/with-contenv': '#!/usr/bin/execlineb -S0\ns6-envdir -fn -- /run/env exec $@\n',
    },
    'COPY root/ /': {
      'etc/cont-init.d/40-first-run':
        '#!/usr/bin/with-contenv bash\nif [ -e /.first ]; then exit 0; fi\ntouch /.first\n',
      'etc/services.d/media/run':
        '#!/usr/bin/with-contenv bash\necho "Starting."\nhome="$(echo ~nobody)"\nexport DIR="${DIR:-${home}/Library/Application Support}"\nif [ ! -d "${DIR}" ]; then /bin/mkdir -p "${DIR}"; fi\nexec s6-setuidgid nobody /opt/media/Media\\ Server\n',
      'etc/services.d/media/finish': '#!/bin/sh\nexit 0\n',
    },
    'RUN /install.sh': { 'opt/media/Media Server': '@go' },
  }),
  supervised('discourse', ['/sbin/boot'], {
    'RUN apt-get install -y runit': { 'usr/bin/runsvdir': '@glibc', 'usr/bin/chpst': '@glibc', 'usr/bin/sv': '@glibc' },
    'COPY etc/ /etc': {
      'etc/runit/1': '#!/bin/bash\n/bin/run-parts --exit-on-error /etc/runit/1.d || exit 100\n',
      'etc/runit/2': '#!/bin/bash\nexec /usr/bin/runsvdir -P /etc/service\n',
      'etc/runit/3': '#!/bin/bash\n/bin/run-parts /etc/runit/3.d\n',
      'etc/service/app/run':
        '#!/bin/bash\nexec 2>&1\ncd /app\nHOME=/app exec chpst -u nobody:nogroup /app/server -E production\n',
    },
    'COPY sbin/ /sbin': { 'usr/sbin/boot': boot },
    'COPY app /app': { 'app/server': '@go' },
  }),
  supervised('passenger', ['/sbin/my_init'], {
    'RUN /build/prepare.sh': {
      ...python,
      'usr/sbin/my_init': '#!/usr/bin/python3 -u\nimport os\n',
      'usr/bin/runsvdir': '@glibc',
    },
    'RUN /build/nginx.sh': {
      'etc/service/nginx/run':
        '#!/bin/bash\nset -e\nif [[ -e /var/log/nginx/error.log ]]; then chmod 644 /var/log/nginx/error.log; fi\nexec /usr/local/sbin/web\n',
      'usr/local/sbin/web': '@go',
      'etc/my_init.d/10_env': '#!/bin/bash\nset -e\n',
    },
  }),
  supervised('baseimage-with-command', ['/sbin/my_init', '--', '/app/server'], {
    'RUN /build/prepare.sh': { ...python, 'usr/sbin/my_init': '#!/usr/bin/python3 -u\nimport os\n' },
    'COPY server /app/': { 'app/server': '@go' },
  }),
  supervised('void-runit', ['/usr/bin/runit-init'], {
    'RUN apt-get install -y runit': { 'usr/bin/runit-init': '@glibc', 'usr/bin/runsvdir': '@glibc' },
    'COPY etc /etc': {
      'etc/runit/1': '#!/bin/sh\nmount -o remount,rw /\n',
      'etc/runit/2': '#!/bin/sh\nexec env - PATH=$PATH runsvdir -P /etc/service log\n',
      'etc/service/app/run': '#!/bin/sh\nexec 2>&1\nexec setuidgid nobody /app/server\n',
    },
    'COPY server /app/': { 'app/server': '@go' },
  }),
  supervised('supervisord-includes', ['/usr/bin/supervisord', '-n', '-c', '/etc/supervisor/supervisord.conf'], {
    'RUN apt-get install -y supervisor': { ...python, 'usr/bin/supervisord': '#!/usr/bin/python3\nimport re\n' },
    'COPY supervisor/ /etc/supervisor/': {
      'etc/supervisor/supervisord.conf':
        '[supervisord]\nnodaemon = true\n\n[include]\nfiles = /etc/supervisor/conf.d/*.conf\n',
      'etc/supervisor/conf.d/app.conf':
        '[program:app]\ncommand = /bin/bash -c "exec /app/server --port %(ENV_PORT)s"\nautorestart = true\nstdout_logfile=/dev/stdout\n',
      'etc/supervisor/conf.d/worker.conf':
        '[program:worker]\ncommand = /app/server worker\nprocess_name=%(program_name)s\n',
    },
    'COPY server /app/': { 'app/server': '@go' },
  }),
  supervised(
    'supervisord-behind-a-script',
    ['/entrypoint.sh'],
    {
      'RUN apt-get install -y supervisor': { ...python, 'usr/bin/supervisord': '#!/usr/bin/python3\nimport re\n' },
      'COPY root/ /': {
        'entrypoint.sh':
          '#!/bin/bash\nset -e\nfor f in /opt/init.d/*.sh; do [ -e "$f" ] && . "$f"; done\nif [ "$1" = "supervisord" ]; then shift; set -- /usr/bin/supervisord -c /opt/etc/supervisor.conf "$@"; fi\nexec "$@"\n',
        'opt/etc/supervisor.conf': '[supervisord]\nnodaemon=true\n[include]\nfiles = /opt/etc/conf.d/*.conf\n',
        'opt/etc/conf.d/web.conf': '[program:web]\ncommand=/opt/bin/web.sh\n',
        'opt/bin/web.sh': '#!/usr/bin/env bash\nset -o pipefail\nexec /app/server -D FOREGROUND\n',
      },
      'COPY server /app/': { 'app/server': '@go' },
    },
    { cmd: ['supervisord'] },
  ),
  supervised(
    'forego',
    ['forego', 'start', '-r'],
    {
      'COPY --from=forego /forego /usr/local/bin/forego': { 'usr/local/bin/forego': '@go' },
      'COPY app /app/': { 'app/Procfile': 'web: /app/server -g "daemon off;"\n', 'app/server': '@glibc' },
    },
    { truth: GLIBC, workingDir: '/app' },
  ),
  supervised(
    'honcho',
    ['honcho', 'start'],
    {
      'RUN pip install honcho': { ...python, 'usr/local/bin/honcho': '#!/usr/bin/python3\nimport honcho\n' },
      'COPY . /app': {
        'app/Procfile': 'web: gunicorn app:app\nworker: python3 worker.py\n',
        'usr/local/bin/gunicorn': '#!/usr/bin/python3\nimport sys\n',
      },
    },
    { truth: MUSL, workingDir: '/app' },
  ),
  supervised(
    'foreman',
    ['foreman', 'start', '-f', 'Procfile.web'],
    {
      'RUN gem install foreman': {
        'usr/local/bin/ruby': '@musl-static',
        'usr/local/bin/foreman': '#!/usr/local/bin/ruby\nrequire "x"\n',
      },
      'COPY . /srv': {
        'srv/Procfile.web': 'web: exec bundle exec puma -p $PORT\n',
        'usr/local/bin/bundle': '#!/usr/local/bin/ruby\nrequire "x"\n',
      },
    },
    { truth: MUSL, workingDir: '/srv' },
  ),
];
