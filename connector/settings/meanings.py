"""What each setting means, by its path; `kis-bond config` and docs/settings.md print it."""

from __future__ import annotations

SECTIONS = {
    "kis": "KIS: its addresses, our app keys, limits and waits",
    "kafka": "How to reach the brokers; files are PEM",
    "topics": "The names of the topics",
    "registry": "The schema registry; without a URL, ticks use Avro's single-object encoding",
    "journal": "The log of frames between KIS and Kafka",
    "replicas": "How several replicas share the app keys",
    "delivery": "How delivery to Kafka ends",
    "audit": "The auditor, kis-bond audit",
    "http": "Health, metrics, status and the page",
    "log": "What is logged, and in which form",
}

MEANINGS = {
    "kis.approval_url": "Where approval keys are issued.",
    "kis.websocket_url": "The feed. KIS documents plain ws:// only.",
    "kis.customer_type": "P for a person, B for a company.",
    "kis.credentials_dir": "The folder with appkey-0, appsecret-0, appkey-1, … without gaps; pair k is slot k. It is"
    " read again at each connect.",
    "kis.appkey": "The app key of one pair, for a first try. It cannot be combined with a folder.",
    "kis.appsecret": "The app secret of that pair.",
    "kis.session_capacity": "The most registrations in one session. The connector learns a lower limit from OPSP0008.",
    "kis.register_interval_seconds": "The time between two register or release requests.",
    "kis.reply_timeout_seconds": "How long the connector waits for a reply.",
    "kis.silence_timeout_seconds": "The connector reconnects if KIS sent no frame for this time. The time doubles, up"
    " to 900, while sessions bring nothing.",
    "kis.reconnect_min_seconds": "The shortest wait between connections. The span above it doubles with each attempt,"
    " with jitter.",
    "kis.reconnect_max_seconds": "The longest wait between connections.",
    "kis.in_use_wait_seconds": "The first three waits after OPSP8996, and after a second OPSP0011. Further waits"
    " double.",
    "kis.in_use_wait_max_seconds": "The longest of these waits.",
    "kis.slot_lost_seconds": "Other slots with room carry the bonds of a slot that has had no session for this time."
    " The bonds return once the slot has a session again.",
    "kis.approval_reuse_hours": "How long one approval key is used.",
    "kis.probe_seconds": "In market hours, a session registers its longest-silent bond again, at most so often: KIS's"
    " answer shows if it forgot the bond. 0 means never.",
    "kis.allow_cleartext": "Allows an http:// URL of the approval or REST calls on another machine. Others on the"
    " network path could then read app key and secret.",
    "kis.proxy_url": "An HTTP proxy for approval, REST and WebSocket, as http://host:port. The environment's"
    " http_proxy and its like are never read.",
    "kis.proxy_username": "The user, if the proxy asks for one.",
    "kis.proxy_password_file": "A file that holds nothing but that user's password.",
    "kafka.bootstrap_servers": "host:port, several joined by commas.",
    "kafka.security_protocol": "How connections to the brokers are protected.",
    "kafka.sasl_mechanism": "How the connector proves who it is; PLAIN with SASL_SSL only.",
    "kafka.sasl_username": "Needed with SASL.",
    "kafka.sasl_password_file": "A file that holds nothing but the password; needed with SASL.",
    "kafka.oauth_provider": "Who gives the tokens of OAUTHBEARER: `oidc`, an OpenID provider, or `msk_iam`, AWS for"
    " Amazon MSK, with the extra `msk`.",
    "kafka.oauth_token_url": "The token endpoint of an OpenID provider, for OAUTHBEARER.",
    "kafka.oauth_client_id": "The client that asks for tokens.",
    "kafka.oauth_client_secret_file": "A file that holds nothing but the client's secret.",
    "kafka.oauth_client_key_file": "A private key in place of the secret (RFC 7523): RSA with 2,048 to 4,096 bits,"
    " or the curve P-256, as PEM without a password.",
    "kafka.oauth_client_key_id": "The name by which the provider knows that key, if it needs one.",
    "kafka.oauth_assertion_audience": "Whom the proof made with that key is for. Not set: the token endpoint. Some"
    " providers want their issuer's URL.",
    "kafka.oauth_scope": "The scope that the request for a token names.",
    "kafka.oauth_audience": "The audience that the request for a token names.",
    "kafka.oauth_ca_file": "Who signs for the token endpoint. Not set: the system's.",
    "kafka.oauth_extra": "Further names and values of the request for a token.",
    "kafka.gssapi_service_name": "The first part of the brokers' principals, for GSSAPI: kafka of kafka/host@REALM.",
    "kafka.gssapi_principal": "Our own principal, such as kis-bond@EXAMPLE.COM.",
    "kafka.gssapi_keytab_file": "The keytab with the keys of that principal.",
    "kafka.ssl_ca_file": "The certificates to trust. Not set: the system's.",
    "kafka.ssl_certificate_file": "The client's own certificate.",
    "kafka.ssl_key_file": "The key of that certificate.",
    "kafka.ssl_key_password_file": "A file that holds nothing but the password of that key.",
    "kafka.client_id": "The client's name as brokers see it. Not set: replicas.name.",
    "kafka.compression": "How batches are compressed.",
    "topics.ticks": "The ticks.",
    "topics.control": "The wanted bonds.",
    "topics.status": "The state of each wanted bond.",
    "topics.events": "Sessions up and down, and losses.",
    "topics.dead_letters": "What could not become a tick.",
    "topics.slots": "Which replica owns which app key; only with replicas.coordination: group.",
    "topics.coverage": "What of each bond's day volume the ticks cover.",
    "topics.latest": "A compacted topic with the latest tick of each bond, such as bond.ticks.latest. Not set: none.",
    "topics.adopt_partitions": "Writes by the new number of partitions as soon as the tick topic has more of them."
    " Otherwise the connector does so at its next start. A bond's ticks may then lie in two partitions.",
    "registry.url": "A Confluent-compatible schema registry, with its base path. Several joined by commas are"
    " replicas of one: the next is asked if one does not answer.",
    "registry.username": "The user, if the registry asks for one.",
    "registry.password_file": "A file that holds nothing but the user's password.",
    "registry.token_file": "A file that holds nothing but a bearer token; it is read again at each request.",
    "registry.oauth_token_url": "The token endpoint of an OpenID provider, for a registry that takes its tokens.",
    "registry.oauth_client_id": "The client that asks for tokens.",
    "registry.oauth_client_secret_file": "A file that holds nothing but the client's secret.",
    "registry.oauth_client_key_file": "A private key in place of the secret (RFC 7523): RSA with 2,048 to 4,096 bits,"
    " or the curve P-256, as PEM without a password.",
    "registry.oauth_client_key_id": "The name by which the provider knows that key, if it needs one.",
    "registry.oauth_assertion_audience": "Whom the proof made with that key is for. Not set: the token endpoint. Some"
    " providers want their issuer's URL.",
    "registry.oauth_scope": "The scope that the request for a token names.",
    "registry.oauth_audience": "The audience that the request for a token names.",
    "registry.oauth_ca_file": "Who signs for the token endpoint. Not set: the system's.",
    "registry.oauth_extra": "Further names and values of the request for a token.",
    "registry.ca_file": "The certificates to trust. Not set: the system's.",
    "registry.certificate_file": "The client's own certificate.",
    "registry.key_file": "The key of that certificate, without a password.",
    "registry.schema_id": "A fixed id. The connector refuses it if the registry has another schema under it.",
    "registry.auto_register": "Registers the schema if the subject lacks it.",
    "journal.path": "The folder with the journal's files, on a local file system.",
    "journal.max_bytes": "The most bytes that its files may take together, at any moment; with KiB, MiB, GiB or TiB.",
    "journal.sync_seconds": "A frame is synced to the disk at most so long after it was written.",
    "journal.retain_hours": "How long delivered frames stay at most.",
    "replicas.coordination": "standalone: one connector. group: several replicas share the app keys.",
    "replicas.group_id": "The consumer group whose members share the app keys.",
    "replicas.name": "The owner shown in slot records. Not set: the host's name.",
    "replicas.session_timeout_seconds": "How long a replica may go without a heartbeat before the group gives its app"
    " keys to others.",
    "replicas.blind_limit_seconds": "How long an owner keeps its sessions without contact with Kafka. Not set: until"
    " it stops.",
    "delivery.stop_deadline_seconds": "How long a connector that is stopping still delivers.",
    "delivery.stop_silence_seconds": "A connector that is stopping ends once no broker has answered for so long. Set it"
    " to the deadline if the journal is lost with the process.",
    "audit.group_id": "The consumer group whose members share the audit of the tick topic.",
    "audit.gap_wait_seconds": "A hole is announced once its bounds stood for this time.",
    "audit.rest_per_second": "The most REST calls a second of one auditor. KIS counts an app key's calls together.",
    "audit.backfill": "Publishes trades that KIS's REST list still has and that lie in a hole, with source = rest."
    " Switch it on if readers of the ticks deduplicate by (STND_ISCD, trade_date, ACML_VOL).",
    "audit.credentials_dir": "The folder with appkey-0 and appsecret-0 for the REST calls. Not set: the auditor works"
    " by ticks alone.",
    "audit.rest_url": "The address of the REST calls.",
    "audit.token_path": "Where the access token is kept, readable by this user alone. KIS sends the customer a message"
    " for each new one.",
    "audit.http_port": "The auditor's /livez, /readyz, /metrics, /status and page, on http.host; 0 is any free port.",
    "http.host": "The address on which /livez, /readyz, /metrics, /status and the page / are served. :: answers IPv4"
    " and IPv6.",
    "http.port": "Their port; 0 is any free one.",
    "http.max_connections": "The most open connections. A new one replaces the one that has been idle longest.",
    "http.allowed_hosts": "The Host headers that are answered, joined by commas or as a list. Not set: any, or only"
    " loopback names if http.host is a loopback address. /livez and /readyz answer any Host.",
    "log.level": "The least important level that is logged.",
    "log.format": "auto: console on a terminal, else json.",
}
