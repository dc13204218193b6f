# Directivas de acceso externo y a quién se conceden.
policies-title = Directivas de acceso externo
policies-text = Dicen qué usuarios locales pueden llegar a los socios XMPP. Gana la directiva concedida al usuario, después la de su sitio, que es un dominio local, y después Global; nunca se combinan. Un usuario necesita los dos tipos de acceso.
policies-none = Todavía no hay ninguna directiva: todo usuario local puede llegar a los socios XMPP. En cuanto haya una, solo podrán aquellos a quienes una directiva se lo permita.
policies-new = Nueva directiva
policies-to-list = A la lista de directivas
policies-effect = Socios XMPP
policies-may = puede llegar a ellos
policies-may-not = no puede
policies-granted = Concedida a usuarios
policies-which = ¿Qué directiva se aplica a un usuario?
policies-user = Usuario
policies-user-hint = La dirección de un usuario local, como alice@contoso.example.
policies-ask = Mostrar
policies-user-unreadable = «{ $user }» no es la dirección de un usuario. Escriba una como alice@contoso.example.
policies-user-not-ours = El dominio de «{ $user }» no es nuestro, así que no se le aplica ninguna directiva.
policies-user-may = puede llegar a los socios XMPP.
policies-user-may-not = no puede llegar a los socios XMPP.
policies-because-granted = Decide { $identity }: está concedida a este usuario y gana al sitio y a Global.
policies-because-site = Decide { $identity }: este usuario no tiene ninguna directiva concedida y su dominio tiene una.
policies-because-global = Decide { $identity }: este usuario no tiene ninguna directiva concedida y su dominio tampoco tiene ninguna.
policies-because-none = No hay ninguna directiva, ni siquiera { $identity }: todos pueden.
policy-title = Directiva { $identity }
policy-new-title = Nueva directiva
policy-read-only = Esta directiva está declarada en gateway.toml. Cámbiela allí; el archivo se vuelve a leer al guardarlo.
policy-identity = Identidad
policy-identity-hint = Global, Site: con uno de nuestros dominios, como Site:contoso.example, o Tag: con un nombre a su elección, como Tag:Ventas. No se puede cambiar después.
policy-enable-federation-access = Acceso federado
policy-enable-federation-access-hint = El usuario puede comunicarse con usuarios federados en general. Sin esto, lo siguiente no tiene efecto.
policy-enable-xmpp-access = Acceso XMPP
policy-enable-xmpp-access-hint = El usuario puede intercambiar mensajes y presencia con usuarios de socios XMPP.
policy-description = Descripción
policy-description-hint = Para usted y sus colegas.
policy-changed = La directiva { $identity } está confirmada
policy-removed = La directiva { $identity } se ha eliminado
policy-delete = Eliminar la directiva
policy-delete-title = ¿Eliminar la directiva { $identity }?
policy-delete-text = A quienes se aplicaba les corresponde la siguiente: del usuario al sitio, del sitio a Global. Sin Global, esos usuarios no pueden llegar a los socios XMPP; sin ninguna directiva, todos pueden.
policy-delete-granted = { $count ->
    [one] Está concedida a { $count } usuario. Retíresela primero.
   *[other] Está concedida a { $count } usuarios. Retíresela primero.
}
grants-title = Directivas concedidas
grants-text = Usuarios con una directiva propia.
grants-to-list = A las directivas concedidas
grants-no-tags = No hay ninguna directiva que se pueda conceder. Cree antes una cuya identidad empiece por Tag:.
grants-found = { $count ->
    [one] { $count } usuario
   *[other] { $count } usuarios
}
grant-new = Conceder una directiva
grant-user = Usuario
grant-policy = Directiva
grant-changed = Concedida por
grant-commit = Conceder
grant-revoke = Retirar
grant-done = { $user } tiene la directiva
grant-revoked = { $user } ya no tiene directiva propia
