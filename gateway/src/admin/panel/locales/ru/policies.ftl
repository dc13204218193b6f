# Политики внешнего доступа и кому они назначены.
policies-title = Политики внешнего доступа
policies-text = Они определяют, какие локальные пользователи могут связываться с партнёрами XMPP. Сначала действует политика, назначенная пользователю, затем политика его сайта (локального домена), затем Global; политики никогда не объединяются. Пользователю нужны оба вида доступа.
policies-none = Политик пока нет: с партнёрами XMPP может связываться любой локальный пользователь. Как только появится хотя бы одна, смогут лишь те, кому это разрешает политика.
policies-new = Новая политика
policies-to-list = К списку политик
policies-effect = Партнёры XMPP
policies-may = доступны
policies-may-not = недоступны
policies-granted = Назначена пользователям
policies-which = Какая политика действует для пользователя?
policies-user = Пользователь
policies-user-hint = Адрес локального пользователя, например alice@contoso.example.
policies-ask = Показать
policies-user-unreadable = «{ $user }» не является адресом пользователя. Введите адрес вида alice@contoso.example.
policies-user-not-ours = Домен в «{ $user }» не наш, поэтому наши политики к нему не относятся.
policies-user-may = может связываться с партнёрами XMPP.
policies-user-may-not = не может связываться с партнёрами XMPP.
policies-because-granted = Решает { $identity }: она назначена этому пользователю и важнее политики сайта и Global.
policies-because-site = Решает { $identity }: этому пользователю политика не назначена, а у его домена она есть.
policies-because-global = Решает { $identity }: этому пользователю политика не назначена, и у его домена её нет.
policies-because-none = Политик нет вообще, даже { $identity }: разрешено всем.
policy-title = Политика { $identity }
policy-new-title = Новая политика
policy-read-only = Эта политика описана в gateway.toml. Измените её там: файл перечитывается при сохранении.
policy-identity = Идентификатор
policy-identity-hint = Global, Site: с одним из наших доменов, например Site:contoso.example, или Tag: с именем на ваш выбор, например Tag:Продажи. Позже его изменить нельзя.
policy-enable-federation-access = Федеративный доступ
policy-enable-federation-access-hint = Пользователь вообще может общаться с пользователями федерации. Без этого следующий параметр не действует.
policy-enable-xmpp-access = Доступ XMPP
policy-enable-xmpp-access-hint = Пользователь может обмениваться сообщениями и сведениями о присутствии с пользователями партнёров XMPP.
policy-description = Описание
policy-description-hint = Для вас и ваших коллег.
policy-changed = Политика { $identity } применена
policy-removed = Политика { $identity } удалена
policy-delete = Удалить политику
policy-delete-title = Удалить политику { $identity }?
policy-delete-text = На тех, к кому она относилась, будет действовать следующая: после политики пользователя — политика сайта, после неё — Global. Без Global такие пользователи не смогут связываться с партнёрами XMPP; без единой политики смогут все.
policy-delete-granted = { $count ->
    [one] Она назначена { $count } пользователю. Сначала отзовите её.
    [few] Она назначена { $count } пользователям. Сначала отзовите её.
    [many] Она назначена { $count } пользователям. Сначала отзовите её.
   *[other] Она назначена { $count } пользователя. Сначала отзовите её.
}
grants-title = Назначенные политики
grants-text = Пользователи с собственной политикой.
grants-to-list = К назначенным политикам
grants-no-tags = Нет политики, которую можно назначить. Сначала создайте политику, идентификатор которой начинается с Tag:.
grants-found = { $count ->
    [one] { $count } пользователь
    [few] { $count } пользователя
    [many] { $count } пользователей
   *[other] { $count } пользователя
}
grant-new = Назначить политику
grant-user = Пользователь
grant-policy = Политика
grant-changed = Кто назначил
grant-commit = Назначить
grant-revoke = Отозвать
grant-done = Пользователю { $user } назначена политика
grant-revoked = У пользователя { $user } больше нет собственной политики
