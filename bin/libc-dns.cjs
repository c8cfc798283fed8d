#!/usr/bin/env node
// Checks the version of Node before anything else is read: an old one would print the bundle that it cannot parse.
// So this file keeps to what every Node parses.
'use strict';

var wanted = require('../package.json').engines.node.replace('>=', '');
var is = process.versions.node.split('.').map(Number);
var needs = wanted.split('.').map(Number);

if (is[0] > needs[0] || (is[0] === needs[0] && is[1] >= needs[1])) {
  require('../dist/main.js');
} else {
  process.stderr.write(
    'libc-dns: needs Node ' + wanted + ' or later, and this is ' + process.version + ' (' + process.execPath + ')\n',
  );
  process.exit(1);
}
