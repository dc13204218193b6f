# Páginas en vivo: flujos, colas, certificados, dictámenes, escalera.
nav-overview = Resumen
nav-streams = Flujos activos
nav-queues = Colas
nav-verdicts = Dictámenes
nav-certificates = Certificados
nav-ladder = Diagrama
nav-explain = Explicar
overview = Resumen
attention = Qué requiere atención
attention-none = Nada requiere atención.
readiness = De qué depende la pasarela
ready = Listo
not-ready = No está listo
numbers = Cifras
edges-attached = Servidores perimetrales conectados
edge = Servidor perimetral
edge-since = Conectado desde
edge-build = Versión
edge-draining = Se está retirando
edge-behind = Aún no rige allí la configuración más reciente
no-edges = No hay ningún servidor perimetral conectado: no pasa nada desde los socios ni hacia ellos. Revise las direcciones y los certificados del enlace.
partners-count = { $count ->
    [one] { $count } socio
    [many] { $count } de socios
   *[other] { $count } socios
}
suspended-count = { $count ->
    [one] { $count } elemento del almacén no concuerda con el archivo de configuración y se omite
    [many] { $count } de elementos del almacén no concuerdan con el archivo de configuración y se omiten
   *[other] { $count } elementos del almacén no concuerdan con el archivo de configuración y se omiten
}
partner = Socio
gateway = pasarela
of-partner = Dominio del socio
live-start = Actualizar automáticamente
live-stop = Dejar de actualizar
no-partner = No es socio
streams = Flujos activos
streams-none = No hay ningún flujo abierto.
streams-count = { $count ->
    [one] { $count } flujo
    [many] { $count } de flujos
   *[other] { $count } flujos
}
streams-left-out = { $count ->
    [one] No se muestra { $count } flujo más; consulte un solo socio.
    [many] No se muestran { $count } de flujos más; consulte un solo socio.
   *[other] No se muestran { $count } flujos más; consulte un solo socio.
}
snapshot-effect = El último cambio de la configuración cerró flujos de { $edge }: { $gone } porque el socio ya no existe, { $permitted } porque el método ya no está permitido.
stream-state = Estado
stream-negotiating = En negociación
stream-authenticated = Autenticado
stream-draining = Terminando
stream-closing = Cerrándose
stream-in = desde el socio
stream-out = hacia el socio
stream-both = en ambos sentidos
stream-pairs = Dominios
stream-security = Seguridad
stream-peer = Otro extremo
stream-passed = Tráfico
stream-stanzas = { $in } recibidas, { $out } enviadas
stream-waiting = { $waiting } en espera, { $unacknowledged } sin confirmar
stream-since = Desde
stream-last = última stanza { $moment }
stream-close = Cerrar
stream-close-of = Cerrar el flujo de { $partner }
stream-close-hint = Un flujo cerrado se vuelve a abrir en cuanto haya algo que enviar. Nada de lo que espera se pierde.
stream-close-done = El flujo se está cerrando.
stream-close-no-edge = Ese servidor perimetral ya no está conectado.
stream-close-no-stream = Ese flujo ya no existe.
stream-close-silent = El servidor perimetral no respondió a tiempo. Compruebe si el flujo sigue ahí.
stream-close-too-many = Hay demasiadas consultas a los servidores perimetrales en curso. Inténtelo de nuevo en unos segundos.
no-tls = Sin TLS
direct-tls = TLS directo
answer-complete = { $edge } lo dijo todo.
answer-partial = { $edge } no lo dijo todo a tiempo.
answer-silent = { $edge } no respondió a tiempo.
answer-refused = { $edge } no quiso responder.
certificate = Certificado
certificate-names = Nombres
certificate-issuer = Emisor
certificate-ends = Válido hasta
certificate-left = Le queda
certificate-purpose = Para
certificate-seen = Visto
certificate-live = en uso
certificate-pin = Huella fijada:
certificate-unreadable = No se puede leer
certificates = Certificados
certificates-own = Nuestros certificados
certificates-own-text = Los de esta pasarela tal como están ahora en sus archivos, y los que los servidores perimetrales muestran a los socios. Un archivo nuevo se adopta sin reiniciar.
certificates-partners = Certificados de los socios
certificates-partners-text = El más reciente que cada servidor de un socio ha mostrado en un flujo o en un dictamen.
certificates-none = Ningún socio ha mostrado aún un certificado.
days-over = { $days ->
    [one] caducado desde hace { $days } día
    [many] caducado desde hace { $days } de días
   *[other] caducado desde hace { $days } días
}
queues = Colas
queues-text = Stanzas en espera, dondequiera que estén. Cada cola tiene un límite; lo que no se puede entregar a tiempo vuelve a su remitente con un error.
queues-edges = En los servidores perimetrales
queues-gateway = En esta pasarela
queues-links = Enlaces con los servidores perimetrales
queues-partners = Por dominio
queue-empty = No espera nada.
queue-for = Para
queue-in = las pasarelas
queue-out = el socio
queue-what = En espera
queue-bound = Límite
queue-most = { $count ->
    [one] { $count } stanza
    [many] { $count } de stanzas
   *[other] { $count } stanzas
}
queue-waiting = { $stanzas ->
    [0] nada
    [one] { $stanzas } stanza, { $bytes } bytes, la más antigua desde hace { $seconds } s
    [many] { $stanzas } de stanzas, { $bytes } bytes, la más antigua desde hace { $seconds } s
   *[other] { $stanzas } stanzas, { $bytes } bytes, la más antigua desde hace { $seconds } s
}
queue-unacknowledged = Sin confirmar
queue-unfinished = Sin terminar aquí
queue-any-edge = hasta que se conecte un servidor perimetral
verdicts = Dictámenes
verdicts-text = Por qué algo se rechazó o falló: hasta dónde llegó, de qué lado está la causa y qué hacer.
verdicts-last = Los últimos
verdicts-none = No hay ninguno.
not-a-domain = Eso no es un dominio. Escriba, por ejemplo, fabrikam.example.
not-a-user = Eso no es un usuario. Escriba, por ejemplo, alice@contoso.example.
probe-now = Sondear desde cada servidor perimetral
probe-hint = Recorre todos los pasos, del DNS a la autenticación, por conexiones propias; no toca los flujos activos. Tarda hasta un minuto.
probe-from = Sondeo desde { $edge }
probe-reachable = Accesible
probe-unreachable = No accesible
probe-incomplete = Incompleto
step-ok = En orden
step-failed = Falló
step-skipped = Omitido
remedy = Qué hacer:
transcript = Lo que se dijo
verdict-when = Cuándo
verdict-count = { $count } veces desde { $first }
verdict-where = Dónde
verdict-target = Servidor
verdict-copy = Texto para el operador de la otra parte
direction-in = desde el socio
direction-out = hacia el socio
side-theirs = De su lado
side-ours = Un error nuestro
side-network = La red
side-operator = De nuestro lado
ladder = Diagrama de secuencia
ladder-text = Lo que pasó últimamente entre un usuario SIP y un usuario de un socio, a través de XMPP, el enlace y SIP.
local-user = Usuario SIP
remote-user = Usuario del socio
ladder-scope = Mostrar
ladder-everything = Todo
ladder-conversation = Mensajes
ladder-subscription = Presencia
ladder-hidden = Lo que escriben las personas está oculto porque el registro de cuerpos de mensajes está desactivado.
ladder-left-out = { $count ->
    [one] No se muestra { $count } paso más antiguo.
    [many] No se muestran { $count } de pasos más antiguos.
   *[other] No se muestran { $count } pasos más antiguos.
}
ladder-none = No se conserva nada de lo que pasó entre ellos. La pasarela guarda lo último que pasó; pídales que lo intenten de nuevo.
ladder-steps = Cada paso, con su texto
download-svg = Descargar como SVG
download-text = Descargar como texto
explain = Explicar
explain-text = Por qué un usuario SIP y un usuario de un socio se ven como se ven.
explain-conclusion = En resumen
explain-statements = En qué se basa
pair-remove = Quitar la autorización
pair-remove-hint = Termina lo que cada uno puede ver del otro, en ambos sentidos. Ambos pueden volver a solicitarla.
pair-removed = La autorización se ha quitado.
pair-absent = No había ninguna.
pair-failed = No se pudo quitar en este momento. Inténtelo de nuevo.
verdict-cause = Qué pasó
verdict-side = De qué lado
# El archivo de mensajes.
nav-archive = Archivo
archive = Archivo de mensajes
archive-text = Mensajes entre dos personas de los socios cuyo archivo está activado. Cada consulta queda anotada en el registro de auditoría.
archive-contains = El texto contiene
archive-none = No se conserva nada que coincida.
archive-export = Exportar
archive-next = Del más antiguo al más nuevo: página siguiente
archive-kept = Conservado
archive-count = { $count ->
    [one] { $count } mensaje desde { $oldest }
    [many] { $count } de mensajes desde { $oldest }
   *[other] { $count } mensajes desde { $oldest }
}
archive-who = Quién
archive-message = Mensaje
explain-policy = Quién puede
explain-inbound = El usuario del socio observa al usuario SIP
explain-outbound = El usuario SIP observa al usuario del socio
explain-events = Lo último que pasó
explain-verdicts = Lo que falló
pair-remove-sure = Estoy seguro.
test-im = Enviar un mensaje de prueba
test-im-hint = Envía un mensaje corto del usuario SIP al usuario del socio por el camino real y dice qué fue de él.
test-im-delivered = Entregado al socio
test-im-failed = No entregado
test-im-took = { $milliseconds } ms
