/**
 * Programs that resolve no names: file, text and account tools of coreutils, util-linux, shadow, procps and busybox. What runs
 * beside or after them is what counts. `hostname` is not listed: `hostname -i` resolves.
 */
const utilities = new Set(
  // coreutils and findutils
  (
    '[ arch b2sum base32 base64 basename cat chgrp chmod chown cksum comm cp csplit cut date dd df dir dircolors dirname du echo env ' +
    'expand expr factor false find fmt fold groups head id install join link ln logname ls md5sum mkdir mkfifo mknod mktemp mv ' +
    'nl nproc numfmt od paste pathchk pr printenv printf ptx pwd readlink realpath rm rmdir seq sha1sum sha224sum sha256sum ' +
    'sha384sum sha512sum shred shuf sleep sort split stat stty sum sync tac tail tee test touch tr true truncate tsort tty uname ' +
    'unexpand uniq unlink users vdir wc whoami yes ' +
    // text and archives
    'awk gawk mawk grep egrep fgrep sed diff cmp patch column more less rev strings xxd hexdump ed ts sponge m4 bc dc envsubst ' +
    'jq gettext iconv file tar gzip gunzip zcat bzip2 bunzip2 xz unxz zstd unzstd lz4 cpio zip unzip ' +
    // accounts and rights
    'addgroup adduser delgroup deluser groupadd groupdel groupmod useradd userdel usermod passwd chpasswd chsh getcap setcap ' +
    'getfacl setfacl chattr lsattr ' +
    // processes and the kernel
    'free kill killall pgrep pidof pkill ps top uptime renice sysctl mount umount mountpoint lsblk lscpu swapon swapoff ulimit ' +
    'ldconfig modprobe insmod inotifywait ' +
    // the distribution's own helpers
    'clear tput reset locale locale-gen localedef update-ca-certificates update-ca-trust update-alternatives crontab logrotate ' +
    'run-parts sv svc svlogd multilog s6-log s6-svc s6-svstat s6-svwait s6-svscanctl s6-rc s6-chmod s6-chown s6-echo s6-test s6-true s6-false ' +
    's6-mkdir s6-ln s6-touch s6-sleep s6-sync s6-cat s6-rmrf s6-hiercopy printcontenv fix-attrs logutil-service ' +
    'uuidgen openssl iptables ip6tables iptables-restore iptables-save nft ip which where hash tzselect'
  ).split(' '),
);

/** Reports whether a program of this name resolves no names. */
const isUtilityName = (name: string): boolean => utilities.has(name);

/** Reports whether a program that is called so resolves no names: `getent passwd` asks for users. `xargs` alone prints. */
export const isUtilityCall = (name: string, [first = '']: readonly string[]): boolean =>
  isUtilityName(name) ||
  name === 'xargs' ||
  (name === 'getent' && /^(?:passwd|group|shadow|gshadow|initgroups)$/u.test(first));

// What else of busybox the distributions that use it link to it.
const applets = new Set(
  'wget nc telnet nslookup ping ping6 traceroute ftpget ftpput tftp httpd udhcpc ntpd crond syslogd klogd watch hostname vi'.split(
    ' ',
  ),
);

/** Reports whether busybox has an applet of this name, so that an image whose shell is busybox most likely runs that. */
export const isAppletName = (name: string): boolean => utilities.has(name) || applets.has(name);

/** Programs that are scripts wherever they come from, by the interpreter that runs them. */
const scriptsOf: Readonly<Record<string, readonly string[]>> = {
  python3: (
    'gunicorn uvicorn hypercorn daphne celery flower flask django-admin waitress-serve uwsgi-python streamlit jupyter ' +
    'jupyter-lab jupyter-notebook jupyterhub airflow superset mlflow dagster dagster-webserver dagster-daemon prefect ansible ' +
    'ansible-playbook pip pip3 pipenv poetry pdm pytest tox alembic scrapy sanic fastapi ipython rq arq dramatiq huey ' +
    'locust mkdocs sphinx-build twine salt-master salt-minion buildbot aws az odoo synapse certbot'
  ).split(' '),
  node: (
    'npm npx yarn yarnpkg pnpm pnpx corepack pm2 pm2-runtime pm2-docker tsx ts-node ts-node-dev nodemon next nuxt nest ' +
    'http-server forever gatsby strapi n8n node-red prisma sequelize knex typeorm lerna nx ghost serverless'
  ).split(' '),
  ruby: 'bundle bundler rails puma unicorn sidekiq rackup rake thin jekyll fluentd gem irb rspec foreman passenger'.split(
    ' ',
  ),
  php: 'composer artisan drush wp phpunit'.split(' '),
  java: 'mvn gradle sbt spark-class'.split(' '),
  perl: 'plackup starman morbo hypnotoad'.split(' '),
};

const interpreters = new Map(
  Object.entries(scriptsOf).flatMap(([interpreter, names]) => names.map((name) => [name, interpreter] as const)),
);

/** Returns the interpreter that runs programs of this name; undefined if the name tells none. */
export const interpreterOf = (name: string): string | undefined => interpreters.get(name);

/** Reports whether a program runs what it is given itself: its operands are no programs that it starts. */
export const isInterpreterName = (name: string): boolean =>
  /^(?:python|pypy|node|nodejs|ruby|perl|php|php-fpm|java|dotnet|lua|luajit|R|Rscript|erl|erlexec|beam\.smp|deno|bun|mono|tclsh|guile)(?:-?\d[\d.]*)?$/u.test(
    name,
  );

// Programs that distributions link to their own C library, and that bring no resolver of their own.
const linkedToBase = new Set(
  (
    'sh bash dash ash zsh busybox cat sleep tail env ls date nginx httpd apache2 apachectl lighttpd haproxy varnishd squid ' +
    'node nodejs python python2 python3 perl ruby php php-fpm java erl beam.smp R Rscript lua luajit openresty ' +
    'postgres mysqld mariadbd mongod redis-server valkey-server memcached sqlite3 mosquitto rabbitmq-server ' +
    'curl wget dig ping getent sshd cron crond rsyslogd dnsmasq unbound named postfix exim4 git vim top'
  ).split(' '),
);

// Go programs that distributions package: they are where the distribution's own are, and resolve names themselves.
const madeByGo = new Set(
  (
    'caddy traefik consul vault nomad terraform kubectl helm k3s docker dockerd containerd runc coredns etcd prometheus ' +
    'alertmanager grafana grafana-server influxd telegraf gitea forgejo minio syncthing rclone hugo restic gh yq frpc frps'
  ).split(' '),
);

/** Reports whether distributions link a program of this name to their own C library. */
export const isLinkedToBase = (name: string): boolean =>
  linkedToBase.has(name) || linkedToBase.has(name.replace(/-?\d[\d.]{0,20}$/u, ''));

/** Reports whether a program of this name is known to be made by Go. */
export const isMadeByGo = (name: string): boolean => madeByGo.has(name);
