# El diario de auditoría.
journal-title = Diario de auditoría
journal-text = Quién cambió qué, o fue rechazado, lo más reciente primero. Cada entrada contiene el hash de la anterior, de modo que nada puede cambiarse ni quitarse sin que se note.
journal-verify = Verificar la cadena
journal-export = Exportar todo (NDJSON)
journal-intact = { $count ->
    [one] La cadena es correcta: { $count } entrada está como se escribió.
   *[other] La cadena es correcta: las { $count } entradas están como se escribieron.
}
journal-keep-hash = Guarde el último hash en otro lugar y compárelo la próxima vez; muestra si se cortó el final:
journal-broken = La cadena se rompe en la entrada { $seq }: el diario no está como se escribió.
journal-none = Ninguna entrada coincide.
journal-newest = A las entradas más recientes
journal-older = Entradas anteriores
journal-seq = Número
journal-moment = Cuándo
journal-actor = Quién
journal-action = Acción
journal-object = Objeto
journal-outcome = Resultado
journal-detail = Detalles
journal-hash = Hash:
journal-done = Hecho
journal-refused = Rechazado
journal-dry-run = Solo probado
journal-account = cuenta
journal-token = token
journal-local = la máquina de la pasarela
journal-anonymous = sin iniciar sesión
journal-system = la propia pasarela
