import { type Case, MUSL } from '../cases.ts';
import * as server from './server-scripts.ts';

/** Servers whose long entry scripts put their configuration together first. A static program stands for the server. */

const scripted = (name: string, program: string, scripts: Case['files'], more: Partial<Case>): Case => ({
  name: `scripts-of-${name}`,
  trap: `the entry scripts of ${name}`,
  on: 'debian',
  truth: MUSL,
  ...more,
  files: { [program]: '@musl-static', ...more.files },
  layers: { 'COPY --from=build /rootfs /': scripts },
});

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const python = '#!/usr/bin/python3\nimport sys\n';

export const serversByScript: readonly Case[] = [
  scripted(
    's2i-python',
    'usr/bin/python3.12',
    {
      'usr/bin/container-entrypoint': '#!/bin/bash\nexec "$@"\n',
      'usr/libexec/s2i/run': server.S2I_RUN,
      'opt/app-root/etc/generate_container_user': server.S2I_USER,
      'opt/app-root/bin/activate':
        'VIRTUAL_ENV=/opt/app-root\nexport VIRTUAL_ENV\nPATH="$VIRTUAL_ENV/bin:$PATH"\nexport PATH\n',
      'opt/app-root/bin/gunicorn': '#!/opt/app-root/bin/python3.12\nimport sys\n',
      'opt/app-root/bin/python': '->python3.12',
      'opt/app-root/bin/python3.12': '->/usr/bin/python3.12',
      'opt/app-root/src/wsgi.py': 'application = None\n',
    },
    {
      entrypoint: ['container-entrypoint'],
      cmd: ['/usr/libexec/s2i/run'],
      user: '1001',
      workingDir: '/opt/app-root/src',
      env: [
        'BASH_ENV=/opt/app-root/bin/activate',
        'HOME=/opt/app-root/src',
        `PATH=/opt/app-root/src/.local/bin:/opt/app-root/src/bin:/opt/app-root/bin:${PATH}`,
      ],
    },
  ),
  scripted(
    'webdevops',
    'usr/sbin/nginx',
    {
      entrypoint: '->/opt/docker/bin/entrypoint.sh',
      'opt/docker/bin/entrypoint.sh': server.WEBDEVOPS,
      'opt/docker/bin/config.sh': server.WEBDEVOPS_CONFIG,
      'opt/docker/bin/entrypoint.d/supervisord.sh':
        'exec supervisord -c /opt/docker/etc/supervisor.conf --logfile /dev/null --user root\n',
      'opt/docker/bin/service.d/nginx.sh':
        '#!/usr/bin/env bash\nsource /opt/docker/bin/config.sh\nexec nginx -g "daemon off;"\n',
      'opt/docker/provision/entrypoint.d/20-nginx.sh': 'chown -R application /var/lib/nginx\n',
      'opt/docker/etc/supervisor.conf':
        '[supervisord]\nnodaemon=true\n[include]\nfiles = /opt/docker/etc/supervisor.d/*.conf\n',
      'opt/docker/etc/supervisor.d/nginx.conf':
        '[group:nginx]\nprograms=nginxd\n[program:nginxd]\ncommand = /opt/docker/bin/service.d/nginx.sh\n',
      'usr/local/bin/supervisord': python,
    },
    { entrypoint: ['/entrypoint'], cmd: ['supervisord'] },
  ),
  scripted(
    'couchdb',
    'opt/couchdb/erts-12.3/bin/erlexec',
    {
      'docker-entrypoint.sh': server.COUCHDB_ENTRY,
      'opt/couchdb/bin/couchdb': server.COUCHDB,
      'opt/couchdb/etc/vm.args': '-name couchdb@127.0.0.1\n',
      'opt/couchdb/etc/local.ini': '[admins]\nadmin = secret\n',
      'opt/couchdb/releases/start_erl.data': '12.3 3.3.2\n',
    },
    {
      files: { 'usr/bin/tini': '@tini' },
      entrypoint: ['tini', '--', '/docker-entrypoint.sh'],
      cmd: ['/opt/couchdb/bin/couchdb'],
    },
  ),
  scripted(
    'zabbix',
    'usr/sbin/zabbix_server',
    {
      'usr/bin/docker-entrypoint.sh': server.ZABBIX,
      'usr/bin/mysql': '->/usr/sbin/zabbix_server',
      'usr/bin/mysqladmin': '->/usr/sbin/zabbix_server',
      'etc/zabbix/zabbix_server.conf': '# DBHost=localhost\nDBName=zabbix\n',
    },
    {
      files: { 'usr/bin/tini': '@tini' },
      entrypoint: ['/usr/bin/tini', '--', '/usr/bin/docker-entrypoint.sh'],
      cmd: ['/usr/sbin/zabbix_server', '--foreground', '-c', '/etc/zabbix/zabbix_server.conf'],
      user: '1997',
      workingDir: '/var/lib/zabbix',
    },
  ),
  scripted(
    'emqx',
    'opt/emqx/erts-12.3.2/bin/erlexec',
    {
      'usr/bin/docker-entrypoint.sh': server.EMQX_ENTRY,
      'opt/emqx/bin/emqx': server.EMQX,
      'opt/emqx/bin/common_defs.sh': server.EMQX_DEFS,
      'opt/emqx/erts-12.3.2/bin/erl': '#!/bin/sh\nexec "${0%/*}/erlexec" ${1+"$@"}\n',
      'opt/emqx/etc/emqx.conf': 'node.name = emqx@127.0.0.1\n',
      'opt/emqx/releases/start_erl.data': '12.3.2 4.4.19\n',
      'opt/emqx/releases/4.4.19/emqx.boot': 'x',
    },
    {
      entrypoint: ['/usr/bin/docker-entrypoint.sh'],
      cmd: ['/opt/emqx/bin/emqx', 'foreground'],
      user: '1000',
      workingDir: '/opt/emqx',
    },
  ),
  scripted(
    'docker-mailserver',
    'usr/sbin/dovecot',
    {
      'usr/local/bin/start-mailserver.sh': server.MAIL_START,
      'usr/local/bin/postfix-wrapper.sh': server.MAIL_POSTFIX,
      'etc/supervisor/supervisord.conf': server.MAIL_CONF,
      'etc/supervisor/conf.d/dms.conf': server.MAIL_SERVICES,
      'usr/bin/supervisord': python,
      'usr/bin/supervisorctl': python,
      'usr/sbin/postfix': '->dovecot',
      'usr/sbin/rsyslogd': '->dovecot',
      'usr/bin/python3': '->/usr/sbin/dovecot',
    },
    {
      files: { 'usr/bin/dumb-init': '@dumb-init' },
      entrypoint: ['/usr/bin/dumb-init', '--'],
      cmd: ['supervisord', '-c', '/etc/supervisor/supervisord.conf'],
    },
  ),
];
