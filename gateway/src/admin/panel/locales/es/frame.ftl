# Lo que rodea el contenido de cada página, y lo que se dice en lugar de una página.
product = Causeway
skip-to-content = Ir al contenido
navigation = Páginas
language = Idioma
theme = Tema
theme-system = Como el sistema
theme-light = Claro
theme-dark = Oscuro
sign-out = Cerrar sesión
to-overview = Ir a la primera página
banner-bodies = Se muestra el contenido de los mensajes: la opción correspondiente está activada. Quien pueda leer aquí puede leer lo que se escribe.
nav-accounts = Cuentas y tokens
days-left = { $days ->
    [one] Queda { $days } día
   *[other] Quedan { $days } días
}
yes = Sí
no = No
never = Nunca
save = Guardar
cancel = Cancelar
denied-sign-in = No hay ninguna sesión abierta. Inicie sesión y vuelva a intentarlo.
denied-sign-in-title = Inicie sesión primero
denied-token = El token no existe, fue revocado o ha caducado. Cree uno nuevo en «Cuentas y tokens».
denied-token-title = Token rechazado
denied-scope = Su rol no incluye esta acción. Pregunte a un administrador.
denied-scope-title = No permitido
denied-forged = La solicitud no procede de una página de este panel, o la página estuvo abierta demasiado tiempo. No se ha cambiado nada. Vuelva atrás, recargue la página e inténtelo de nuevo.
denied-forged-title = Solicitud rechazada
denied-not-found = No existe esta página. Puede que haya cambiado de nombre o se haya eliminado.
denied-not-found-title = Página no encontrada
denied-method = Esta dirección no admite este tipo de solicitud. Utilice el formulario de la página.
denied-method-title = Solicitud no comprendida
denied-malformed = El formulario estaba incompleto o no se pudo leer. Vuelva atrás, rellénelo de nuevo y envíelo.
denied-malformed-title = Formulario no comprendido
denied-too-large = La solicitud es mayor de lo que se admite aquí.
denied-too-large-title = Solicitud demasiado grande
denied-too-slow = La solicitud no llegó a tiempo. Inténtelo de nuevo.
denied-too-slow-title = Solicitud demasiado lenta
denied-busy = Hay demasiadas solicitudes a la vez. Espere unos segundos e inténtelo de nuevo.
denied-busy-title = Ocupado
denied-rate = Demasiadas solicitudes. Espere un poco e inténtelo de nuevo.
denied-rate-title = Demasiadas solicitudes
denied-failed = La pasarela no pudo responder; su registro indica el motivo. Nada más se ve afectado. Inténtelo de nuevo en un momento.
denied-failed-title = Algo ha fallado
