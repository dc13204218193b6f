# Живые страницы: потоки, очереди, сертификаты, заключения, диаграмма.
nav-overview = Обзор
nav-streams = Активные потоки
nav-queues = Очереди
nav-verdicts = Заключения
nav-certificates = Сертификаты
nav-ladder = Диаграмма
nav-explain = Объяснение
overview = Обзор
attention = Что требует внимания
attention-none = Ничто не требует внимания.
readiness = На чём держится шлюз
ready = Готово
not-ready = Не готово
numbers = Числа
edges-attached = Подключённые пограничные серверы
edge = Пограничный сервер
edge-since = Подключён с
edge-build = Версия
edge-draining = Завершает работу
edge-behind = Новейшая конфигурация там ещё не действует
no-edges = Не подключён ни один пограничный сервер: ничто не проходит ни от партнёров, ни к ним. Проверьте адреса и сертификаты связи.
partners-count = { $count ->
    [one] { $count } партнёр
    [few] { $count } партнёра
    [many] { $count } партнёров
   *[other] { $count } партнёра
}
suspended-count = { $count ->
    [one] { $count } запись хранилища не согласуется с файлом конфигурации и не действует
    [few] { $count } записи хранилища не согласуются с файлом конфигурации и не действуют
    [many] { $count } записей хранилища не согласуются с файлом конфигурации и не действуют
   *[other] { $count } записи хранилища не согласуются с файлом конфигурации и не действуют
}
partner = Партнёр
gateway = шлюз
of-partner = Домен партнёра
live-start = Обновлять автоматически
live-stop = Не обновлять
no-partner = Не партнёр
streams = Активные потоки
streams-none = Открытых потоков нет.
streams-count = { $count ->
    [one] { $count } поток
    [few] { $count } потока
    [many] { $count } потоков
   *[other] { $count } потока
}
streams-left-out = { $count ->
    [one] Ещё { $count } поток не показан; выберите одного партнёра.
    [few] Ещё { $count } потока не показаны; выберите одного партнёра.
    [many] Ещё { $count } потоков не показаны; выберите одного партнёра.
   *[other] Ещё { $count } потока не показаны; выберите одного партнёра.
}
snapshot-effect = Последнее изменение конфигурации закрыло потоки на { $edge }: { $gone } — партнёра больше нет, { $permitted } — способ больше не разрешён.
stream-state = Состояние
stream-negotiating = Согласование
stream-authenticated = Аутентифицирован
stream-draining = Завершается
stream-closing = Закрывается
stream-in = от партнёра
stream-out = к партнёру
stream-both = в обе стороны
stream-pairs = Домены
stream-security = Защита
stream-peer = Другая сторона
stream-passed = Прошло
stream-stanzas = принято { $in }, отправлено { $out }
stream-waiting = ожидает { $waiting }, не подтверждено { $unacknowledged }
stream-since = С
stream-last = последняя станза { $moment }
stream-close = Закрыть
stream-close-of = Закрыть поток партнёра { $partner }
stream-close-hint = Закрытый поток откроется снова, как только будет что отправить. Ничто из ожидающего не теряется.
stream-close-done = Поток закрывается.
stream-close-no-edge = Этот пограничный сервер больше не подключён.
stream-close-no-stream = Такого потока больше нет.
stream-close-silent = Пограничный сервер не ответил вовремя. Проверьте, остался ли поток.
stream-close-too-many = Выполняется слишком много запросов к пограничным серверам. Повторите через несколько секунд.
no-tls = Без TLS
direct-tls = Прямой TLS
answer-complete = { $edge } сообщил всё.
answer-partial = { $edge } не успел сообщить всё.
answer-silent = { $edge } не ответил вовремя.
answer-refused = { $edge } отказался отвечать.
certificate = Сертификат
certificate-names = Имена
certificate-issuer = Издатель
certificate-ends = Действителен до
certificate-left = Осталось
certificate-purpose = Назначение
certificate-seen = Получен
certificate-live = используется
certificate-pin = Отпечаток ключа:
certificate-unreadable = Не читается
certificates = Сертификаты
certificates-own = Наши сертификаты
certificates-own-text = Сертификаты этого шлюза, как они сейчас в файлах, и те, что пограничные серверы предъявляют партнёрам. Новый файл вступает в силу без перезапуска.
certificates-partners = Сертификаты партнёров
certificates-partners-text = Последний, который каждый сервер партнёра предъявил в потоке или в заключении.
certificates-none = Ни один партнёр ещё не предъявил сертификата.
days-over = { $days ->
    [one] истёк { $days } день назад
    [few] истёк { $days } дня назад
    [many] истёк { $days } дней назад
   *[other] истёк { $days } дня назад
}
queues = Очереди
queues-text = Ожидающие станзы, где бы они ни были. У каждой очереди есть предел; что нельзя доставить вовремя, возвращается отправителю с ошибкой.
queues-edges = На пограничных серверах
queues-gateway = На этом шлюзе
queues-links = Связь с пограничными серверами
queues-partners = По доменам
queue-empty = Ничто не ожидает.
queue-for = Для
queue-in = шлюзов
queue-out = партнёра
queue-what = Ожидает
queue-bound = Предел
queue-most = { $count ->
    [one] { $count } станза
    [few] { $count } станзы
    [many] { $count } станз
   *[other] { $count } станзы
}
queue-waiting = { $stanzas ->
    [0] ничего
    [one] { $stanzas } станза, { $bytes } байт, самая старая { $seconds } с
    [few] { $stanzas } станзы, { $bytes } байт, самая старая { $seconds } с
    [many] { $stanzas } станз, { $bytes } байт, самая старая { $seconds } с
   *[other] { $stanzas } станзы, { $bytes } байт, самая старая { $seconds } с
}
queue-unacknowledged = Не подтверждено
queue-unfinished = Не завершено здесь
queue-any-edge = до подключения пограничного сервера
verdicts = Заключения
verdicts-text = Почему что-то отклонено или не удалось: как далеко дошло, на чьей стороне причина и что делать.
verdicts-last = Последние
verdicts-none = Нет ни одного.
not-a-domain = Это не домен. Напишите, например, fabrikam.example.
not-a-user = Это не пользователь. Напишите, например, alice@contoso.example.
probe-now = Проверить со всех пограничных серверов
probe-hint = Проходит все шаги от DNS до аутентификации по собственным соединениям; активные потоки не затрагиваются. Занимает до минуты.
probe-from = Проверка с { $edge }
probe-reachable = Доступен
probe-unreachable = Недоступен
probe-incomplete = Не завершена
step-ok = В порядке
step-failed = Не удалось
step-skipped = Пропущено
remedy = Что делать:
transcript = Что было сказано
verdict-when = Когда
verdict-count = { $count } раз с { $first }
verdict-where = Где
verdict-target = Сервер
verdict-copy = Текст для оператора другой стороны
direction-in = от партнёра
direction-out = к партнёру
side-theirs = Их сторона
side-ours = Наша ошибка
side-network = Сеть
side-operator = Наша сторона
ladder = Диаграмма обмена
ladder-text = Что недавно прошло между пользователем SIP и пользователем партнёра через XMPP, связь и SIP.
local-user = Пользователь SIP
remote-user = Пользователь партнёра
ladder-scope = Показать
ladder-everything = Всё
ladder-conversation = Сообщения
ladder-subscription = Присутствие
ladder-hidden = Написанное людьми скрыто: запись тел сообщений выключена.
ladder-left-out = { $count ->
    [one] { $count } более ранний шаг не показан.
    [few] { $count } более ранних шага не показаны.
    [many] { $count } более ранних шагов не показаны.
   *[other] { $count } более ранних шага не показаны.
}
ladder-none = Из прошедшего между ними ничего не сохранено. Шлюз хранит последнее; пусть попробуют ещё раз.
ladder-steps = Каждый шаг с текстом
download-svg = Скачать как SVG
download-text = Скачать как текст
explain = Объяснение
explain-text = Почему пользователь SIP и пользователь партнёра видят друг друга именно так.
explain-conclusion = Коротко
explain-statements = На чём это основано
pair-remove = Удалить авторизацию
pair-remove-hint = Прекращает то, что каждый из них видит у другого, в обе стороны. Оба могут попросить снова.
pair-removed = Авторизация удалена.
pair-absent = Её не было.
pair-failed = Сейчас удалить не удалось. Попробуйте ещё раз.
verdict-cause = Что произошло
verdict-side = Чья сторона
# Архив сообщений.
nav-archive = Архив
archive = Архив сообщений
archive-text = Личные сообщения партнёров, для которых архив включён. Каждый просмотр записывается в журнал аудита.
archive-contains = Текст содержит
archive-none = Ничего подходящего не сохранено.
archive-export = Выгрузить
archive-next = Сначала старые: следующая страница
archive-kept = Сохранено
archive-count = { $count ->
    [one] { $count } сообщение с { $oldest }
    [few] { $count } сообщения с { $oldest }
    [many] { $count } сообщений с { $oldest }
   *[other] { $count } сообщения с { $oldest }
}
archive-who = Кто
archive-message = Сообщение
explain-policy = Кому разрешено
explain-inbound = Пользователь партнёра наблюдает за пользователем SIP
explain-outbound = Пользователь SIP наблюдает за пользователем партнёра
explain-events = Что прошло последним
explain-verdicts = Что не удалось
pair-remove-sure = Подтверждаю.
test-im = Отправить пробное сообщение
test-im-hint = Отправляет короткое сообщение от пользователя SIP пользователю партнёра настоящим путём и говорит, что с ним стало.
test-im-delivered = Доставлено партнёру
test-im-failed = Не доставлено
test-im-took = { $milliseconds } мс
