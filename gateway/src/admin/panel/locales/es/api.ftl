# Why the interface for programs did not do what it was asked: titles and sentences of problem documents.
problem-invalid-title = El documento tiene errores
problem-invalid = { $count ->
    [one] Una clave no es válida. No se cambió nada; «faults» dice qué escribir.
   *[other] { $count } claves no son válidas. No se cambió nada; «faults» dice qué escribir.
}
problem-absent-title = No existe
problem-absent = No hay ningún «{ $object }».
problem-exists-title = Ya existe
problem-exists = «{ $object }» ya existe. Modifíquelo o elija otro nombre.
problem-declared-title = Lo declara el archivo de configuración
problem-declared = gateway.toml declara «{ $object }», así que se cambia allí. No se cambió nada.
problem-stale-title = Otra persona se adelantó
problem-stale = { $by } ha cambiado «{ $object }» desde que usted lo leyó. No se cambió nada; léalo de nuevo.
problem-contended-title = Otros están haciendo cambios ahora
problem-contended = Otros cambian la configuración continuamente. No se cambió nada; inténtelo de nuevo.
problem-store-title = El almacén no responde
problem-store = { $reason }. No se cambió nada.
problem-too-much-title = Más de lo que se guarda
problem-too-much = { $reason }. No se cambió nada.
problem-not-in-force-title = Guardado, pero sin efecto
problem-not-in-force = El cambio está guardado, pero la pasarela todavía no trabaja con él: { $reason }
problem-parameter-title = Un parámetro no es válido
problem-parameter = { $name }: { $reason }
problem-media-type-title = Se necesita otro tipo de contenido
problem-media-type = Envíe el cuerpo como { $wanted }.
problem-json-title = El cuerpo no es un objeto JSON
problem-json = Línea { $line }, columna { $column }: { $reason }
problem-too-large-title = El cuerpo es demasiado grande
problem-too-large = Un cuerpo puede tener { $limit } bytes como máximo.
problem-version-needed-title = Falta la versión
problem-version-needed = Léalo primero y envíe su ETag como If-Match, para no deshacer el cambio de otra persona. If-Match: * cambia cualquier versión.
problem-conflict-title = No se puede hacer en el estado actual
problem-conflict = { $reason }
problem-silent-title = La pasarela no responde
problem-silent = { $reason }
problem-elsewhere-title = Otra parte no lo hizo
problem-elsewhere = { $reason }
problem-busy-here-title = Demasiados a la vez
problem-busy-here = Ya hay tantos en curso como se atienden a la vez. Inténtelo de nuevo cuando uno haya terminado.
# What an operator should look at.
attention-no-edge = No hay ningún borde conectado, así que nada pasa hacia los socios ni desde ellos ({ $reason }). Revise direcciones, certificados y cortafuegos de los bordes: causeway check.
attention-no-sip = No se conoce ningún siguiente salto SIP ({ $reason }). Revise sip.next_hops y el DNS: causeway check.
attention-no-store = El almacén no funciona: { $reason }. Revise el registro de la pasarela y el espacio de su disco.
attention-suspended = «{ $what }» no está en vigor junto a gateway.toml tal como está ahora: { $reason }
attention-edges-missing = Están conectados { $attached } de { $configured } bordes configurados. Revise direcciones, certificados y cortafuegos de los demás.
attention-edge-behind = El borde { $edge } aún no trabaja con la configuración más reciente. Revise su registro.
attention-certificate-over = El certificado para { $role } ha caducado. Ponga uno nuevo en su lugar; nada necesita reiniciarse.
attention-certificate-ending = { $days ->
    [one] El certificado para { $role } caduca en { $days } día. Ponga uno nuevo en su lugar; nada necesita reiniciarse.
   *[other] El certificado para { $role } caduca en { $days } días. Ponga uno nuevo en su lugar; nada necesita reiniciarse.
}
attention-certificate-unreadable = No se puede leer el certificado para { $role }: { $reason }
attention-partner-failures = { $partner }: { $cause }
attention-bodies-shown = El texto de los mensajes se muestra y se registra. Desactive EnableLoggingAllMessageBodies cuando ya no lo necesite.
attention-no-partner = No hay ningún socio, así que se rechaza todo dominio XMPP. Permita uno.
attention-nobody-may = Ningún usuario puede llegar a socios XMPP. Una directiva de acceso externo debe decir quién puede.
attention-no-account = Aún no hay ninguna cuenta. Cree la primera con el enlace del registro de la pasarela.
