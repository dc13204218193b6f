# Why the interface for programs did not do what it was asked: titles and sentences of problem documents.
problem-invalid-title = В документе есть ошибки
problem-invalid = { $count ->
    [one] { $count } ключ не подходит. Ничего не изменено; в «faults» сказано, что написать.
    [few] { $count } ключа не подходят. Ничего не изменено; в «faults» сказано, что написать.
    [many] { $count } ключей не подходят. Ничего не изменено; в «faults» сказано, что написать.
   *[other] { $count } ключа не подходят. Ничего не изменено; в «faults» сказано, что написать.
}
problem-absent-title = Такого нет
problem-absent = Нет объекта «{ $object }».
problem-exists-title = Уже существует
problem-exists = «{ $object }» уже существует. Измените его или выберите другое имя.
problem-declared-title = Объявлено в файле конфигурации
problem-declared = «{ $object }» объявлен в gateway.toml и меняется там. Ничего не изменено.
problem-stale-title = Кто-то был быстрее
problem-stale = { $by } изменил(а) «{ $object }» после того, как вы его прочитали. Ничего не изменено; прочитайте заново.
problem-contended-title = Сейчас изменения вносят другие
problem-contended = Другие непрерывно меняют конфигурацию. Ничего не изменено; попробуйте ещё раз.
problem-store-title = Хранилище не отвечает
problem-store = { $reason }. Ничего не изменено.
problem-too-much-title = Больше, чем хранится
problem-too-much = { $reason }. Ничего не изменено.
problem-not-in-force-title = Сохранено, но не действует
problem-not-in-force = Изменение сохранено, но шлюз ещё не работает по нему: { $reason }
problem-parameter-title = Параметр не подходит
problem-parameter = { $name }: { $reason }
problem-media-type-title = Нужен другой тип содержимого
problem-media-type = Отправьте тело как { $wanted }.
problem-json-title = Тело не является объектом JSON
problem-json = Строка { $line }, столбец { $column }: { $reason }
problem-too-large-title = Тело слишком велико
problem-too-large = Размер тела — не более { $limit } байт.
problem-version-needed-title = Не указана версия
problem-version-needed = Сначала прочитайте объект и отправьте его ETag в поле If-Match, чтобы не отменить чужое изменение. If-Match: * меняет любую версию.
problem-conflict-title = В нынешнем состоянии это невозможно
problem-conflict = { $reason }
problem-silent-title = Шлюз не отвечает
problem-silent = { $reason }
problem-elsewhere-title = Другая часть этого не сделала
problem-elsewhere = { $reason }
problem-busy-here-title = Слишком много одновременно
problem-busy-here = Уже выполняется столько, сколько обслуживается одновременно. Попробуйте ещё раз, когда что-нибудь закончится.
# What an operator should look at.
attention-no-edge = Ни один пограничный узел не подключён, поэтому обмена с партнёрами нет ({ $reason }). Проверьте адреса, сертификаты и межсетевые экраны узлов: causeway check.
attention-no-sip = Ни один следующий узел SIP не известен ({ $reason }). Проверьте sip.next_hops и DNS: causeway check.
attention-no-store = Хранилище не работает: { $reason }. Проверьте журнал шлюза и место на диске.
attention-suspended = «{ $what }» не действует рядом с нынешним gateway.toml: { $reason }
attention-edges-missing = Подключено пограничных узлов: { $attached } из { $configured }. Проверьте адреса, сертификаты и межсетевые экраны остальных.
attention-edge-behind = Узел { $edge } ещё не работает по новейшей конфигурации. Проверьте его журнал.
attention-certificate-over = Срок сертификата для { $role } истёк. Замените его; перезапуск не нужен.
attention-certificate-ending = { $days ->
    [one] Сертификат для { $role } истекает через { $days } день. Замените его; перезапуск не нужен.
    [few] Сертификат для { $role } истекает через { $days } дня. Замените его; перезапуск не нужен.
    [many] Сертификат для { $role } истекает через { $days } дней. Замените его; перезапуск не нужен.
   *[other] Сертификат для { $role } истекает через { $days } дня. Замените его; перезапуск не нужен.
}
attention-certificate-unreadable = Не удаётся прочитать сертификат для { $role }: { $reason }
attention-partner-failures = { $partner }: { $cause }
attention-bodies-shown = Тексты сообщений показываются и записываются. Выключите EnableLoggingAllMessageBodies, когда они больше не нужны.
attention-no-partner = Партнёров нет, поэтому любой домен XMPP отклоняется. Разрешите хотя бы один.
attention-nobody-may = Никому из пользователей не разрешён доступ к партнёрам XMPP. Укажите в политике внешнего доступа, кому он разрешён.
attention-no-account = Учётных записей ещё нет. Создайте первую по ссылке из журнала шлюза.
