import { dehydrate, HydrationBoundary, QueryClient } from '@tanstack/react-query';
import { GiftList } from '@/components/gift-list';
import { keyOf } from '@/lib/gifts';
import { readGifts } from '@/lib/store';

const LIST = 'family-123';

/** On the server: the list is read where it is kept, and is in the HTML. The page goes on from it. */
export default async function Page() {
  const queryClient = new QueryClient(); // one for each request
  await queryClient.prefetchQuery({ queryKey: keyOf(LIST), queryFn: () => readGifts(LIST) });
  return (
    <main>
      <h1>A gift list, live</h1>
      <HydrationBoundary state={dehydrate(queryClient)}>
        <GiftList listId={LIST} />
      </HydrationBoundary>
    </main>
  );
}
