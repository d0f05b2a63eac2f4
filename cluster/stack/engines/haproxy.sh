#!/bin/sh
# HAProxy in the way that Serve starts it, with what Serve writes into its configuration and has no setting for mended:
# metrics and statistics are for this machine only, the head of a request must come in ten seconds, and where there is
# a certificate (LEARNREC_HTTP_TLS_PEM) the door speaks TLS. HAPROXY_PROGRAM is HAProxy itself.
set -eu
configuration='' previous=''
for word in "$@"; do
  if [ "$previous" = -f ]; then configuration=$word; fi
  previous=$word
done
if [ -n "$configuration" ]; then
  tls=${LEARNREC_HTTP_TLS_PEM:+ ssl crt $LEARNREC_HTTP_TLS_PEM ssl-min-ver TLSv1.2 alpn http/1.1}
  sed -E \
    -e '/^frontend prometheus/,/^ *mode/ s/^( *bind) \*?:([0-9]+)$/\1 127.0.0.1:\2/' \
    -e '/^listen stats/,$ s/^( *bind) \*?:([0-9]+)$/\1 127.0.0.1:\2/' \
    -e "/^frontend http_frontend/,/^(backend|listen) / s|^( *bind [^ ]+)\$|\\1$tls|" \
    -e '/^defaults/ a\    timeout http-request 10s' \
    "$configuration" >"$configuration.mended"
  mv "$configuration.mended" "$configuration"
fi
exec "$HAPROXY_PROGRAM" "$@"
