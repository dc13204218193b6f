# Журнал аудита.
journal-title = Журнал аудита
journal-text = Кто что изменил или получил отказ, сначала новые записи. Каждая запись содержит хеш предыдущей, поэтому ничего нельзя незаметно изменить или убрать.
journal-verify = Проверить цепочку
journal-export = Выгрузить всё (NDJSON)
journal-intact = { $count ->
    [one] Цепочка цела: { $count } запись в том виде, в каком была сделана.
    [few] Цепочка цела: { $count } записи в том виде, в каком были сделаны.
    [many] Цепочка цела: { $count } записей в том виде, в каком были сделаны.
   *[other] Цепочка цела: { $count } записи в том виде, в каком были сделаны.
}
journal-keep-hash = Сохраните последний хеш в другом месте и сравните его в следующий раз: он покажет, не отрезан ли конец:
journal-broken = Цепочка нарушена на записи { $seq }: журнал не таков, каким был сделан.
journal-none = Подходящих записей нет.
journal-newest = К новейшим записям
journal-older = Более ранние записи
journal-seq = Номер
journal-moment = Когда
journal-actor = Кто
journal-action = Действие
journal-object = Объект
journal-outcome = Итог
journal-detail = Подробности
journal-hash = Хеш:
journal-done = Выполнено
journal-refused = Отказано
journal-dry-run = Только проверено
journal-account = учётная запись
journal-token = токен
journal-local = машина шлюза
journal-anonymous = без входа
journal-system = сам шлюз
